//go:build qemu

package qemutests

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var updateListings = flag.Bool("update", false, "write testdata/artefacts.golden")

// Issue 5: golden listings of every artefact, as other people's programs read
// them. What changes with the distribution's packages is left out: modules,
// u-root's commands, all of the userland that is not ours, and versions.
func TestListingsOfTheArtefacts(t *testing.T) {
	images(t)
	const script = `
cd "$1"
echo '# ostar'; tar -tvf ostar/*.tar | awk '{print $1, $2, $6}'
echo '# efisystar'; tar -tvf efisystar/*.tar | awk '{print $1, $2, $6}' | grep -v -e memtest -e shell
echo '# sectar'; tar -tvf sectar/psyops-secret.tar | awk '{print $1, $2, $6}'
echo '# initramfs'; zstd -dcq initramfs/initramfs | cpio -itv --quiet -n 2>/dev/null |
	awk '{name = $NF; if (/^l/) name = $(NF-2) " -> " $NF; print $1, $3 "/" $4, name}' | grep -v -e ' lib/modules/' -e ' bbin/' -e ' etc/psyopsOS/keys/'
echo '# modloop'; unsquashfs -llc modloop.link | awk '{print $1, $2, $NF}' | grep -v /modules/.*/
echo '# squashfs'; unsquashfs -llc squashfs/squashfs | awk '{name = $NF; if (/^l/) name = $(NF-2) " -> " $NF; print $1, $2, name}' |
	grep -e psyops -e neuralupgrade -e /etc/fstab -e /media -e lib/modules -e lib/firmware -e ' [^ ]*/run$' -e 'squashfs-root/[^/]*$'
echo '# diskimg'; sgdisk -p diskimg/psyopsOS.img | sed -n '/^Number/,$p' | awk '{print $1, $2, $3, $6, $7, $8, $9}'
`
	stages, err := filepath.Abs(filepath.Join(out, "stages"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-eu", "-c", strings.ReplaceAll(script, "modloop.link", "kernel/modloop"), "sh", stages)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin", "LC_ALL=C", "TZ=UTC")
	cmd.Stderr = os.Stderr
	said, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	got := regexp.MustCompile(`\d{8}-\d{6}`).ReplaceAllString(string(said), "VERSION")
	got = regexp.MustCompile(`\d+\.\d+\.\d+-\d+-cloud-amd64`).ReplaceAllString(got, "KERNEL")
	const golden = "testdata/artefacts.golden"
	if *updateListings {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the artefacts hold something else: go test -tags qemu -run Listings -update ./qemu-tests/ shows it in git diff\n%s", got)
	}
}
