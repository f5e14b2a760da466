package netif

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sort"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Linux is the running kernel, over netlink and ethtool's ioctl, with Root's
// sys/class/net for what these do not tell.
type Linux struct{ Root string }

// List gives all links, by index.
func (l Linux) List(askDrivers bool) ([]Link, error) {
	found, err := linkList()
	if err != nil {
		return nil, fmt.Errorf("list network links: %w", err)
	}
	var links []Link
	for _, f := range found {
		link := l.link(f.Attrs())
		if askDrivers {
			link.ask()
		}
		links = append(links, link)
	}
	sort.Sort(byIndex(links))
	return links, nil
}

// byIndex sorts by package sort: slices.SortFunc is compiled anew for each
// type, and this one cost 17 kB of code.
type byIndex []Link

func (l byIndex) Len() int           { return len(l) }
func (l byIndex) Less(i, j int) bool { return l[i].Index < l[j].Index }
func (l byIndex) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }

// linkList asks again where a link came or went while the kernel listed them.
func linkList() (found []netlink.Link, err error) {
	for range 5 {
		found, err = netlink.LinkList()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return found, err
}

func (l Linux) link(a *netlink.LinkAttrs) Link {
	link := Link{
		Index: a.Index, Name: a.Name, MAC: a.HardwareAddr.String(), Permanent: a.PermHWAddr.String(),
		Up:       a.Flags&net.FlagUp != 0,
		Loopback: a.Flags&net.FlagLoopback != 0,
		Physical: l.has(a.Name, "device"),
		Wireless: l.has(a.Name, "wireless") || l.has(a.Name, "phy80211"),
		Driver:   l.target(a.Name, "device/driver"),
	}
	if bus := l.target(a.Name, "device"); bus != "" {
		link.Buses = []string{bus}
	}
	return link
}

// ask asks the driver who it is and where its card is: virtio0 by sysfs is
// 0000:00:03.0 by ethtool, which is what nameif asks.
func (l *Link) ask() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	info, err := unix.IoctlGetEthtoolDrvinfo(fd, l.Name)
	if err != nil {
		return
	}
	if driver := unix.ByteSliceToString(info.Driver[:]); driver != "" {
		l.Driver = driver
	}
	if bus := unix.ByteSliceToString(info.Bus_info[:]); bus != "" && !slices.Contains(l.Buses, bus) {
		l.Buses = append(l.Buses, bus)
	}
}

func (l Linux) sys(name, file string) string {
	return filepath.Join(l.Root, "sys/class/net", name, file)
}

func (l Linux) has(name, file string) bool {
	_, err := os.Stat(l.sys(name, file))
	return err == nil
}

// target is the last name of where a link in sysfs leads to.
func (l Linux) target(name, file string) string {
	to, err := os.Readlink(l.sys(name, file))
	if err != nil {
		return ""
	}
	return filepath.Base(to)
}

// Rename gives a link that is down another name.
func (l Linux) Rename(index int, name string) error {
	return netlink.LinkSetName(handle(index), name)
}

// SetUp sets a link up or down.
func (l Linux) SetUp(index int, up bool) error {
	if up {
		return netlink.LinkSetUp(handle(index))
	}
	return netlink.LinkSetDown(handle(index))
}

// handle is a link of which only the index matters.
func handle(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
