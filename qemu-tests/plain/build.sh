#!/bin/sh
# The disk image as a shell script makes it that does nothing cleverly: the same
# packages, programs and compression as tk, a stage after another, all of it
# each time. BenchmarkBuild runs it beside tk.
#
#   build.sh WORK DEBS KERNEL-DEB INIT COMMANDS.CPIO MODULES-LIST OVERLAY
#
# DEBS is a file that lists the userland's packages. It stops where a tool
# fails. What it does not do: signatures, a lock of package versions, checks.
set -eu
work=$1 debs=$2 kernel=$3 init=$4 commands=$5 modules=$6 overlay=$7
rm -rf "$work" && mkdir -p "$work"/root "$work"/k "$work"/side "$work"/esp/EFI/BOOT
export SOURCE_DATE_EPOCH=1795255200
squash="-noappend -no-progress -quiet -all-root -b 262144 -comp zstd -Xcompression-level 9"

# kernel and modloop
dpkg-deb -x "$kernel" "$work/k"
version=$(ls "$work/k/lib/modules")
depmod -b "$work/k" "$version"
mkdir -p "$work/modloop/modules/firmware"
cp -a "$work/k/lib/modules/$version" "$work/modloop/modules/"
mksquashfs "$work/modloop" "$work/side/modloop" $squash >/dev/null
cp "$work/k/boot/vmlinuz-$version" "$work/side/kernel"
cp "$work/k/boot/System.map-$version" "$work/side/System.map"
cp "$work/k/boot/config-$version" "$work/side/config"

# squashfs
while read -r deb; do dpkg-deb -x "$deb" "$work/root"; done <"$debs"
cp -a "$overlay"/. "$work/root/"
cp "$init" "$work/root/usr/sbin/neuralupgrade"
rm -rf "$work/root/usr/share/doc" "$work/root/usr/share/man" "$work/root/lib/systemd"
mksquashfs "$work/root" "$work/side/squashfs" $squash >/dev/null

# initramfs
mkdir -p "$work/initramfs/lib/modules/$version"
cp "$init" "$work/initramfs/init"
sed 's/#.*//' "$modules" | while read -r name; do
	[ -n "$name" ] || continue
	modprobe -d "$work/k" -S "$version" --show-depends "$name" 2>/dev/null || true
done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | sort -u | while read -r file; do
	to=$work/initramfs/${file#"$work/k/"}
	mkdir -p "$(dirname "$to")" && cp "$file" "$to"
done
cp "$work/k/lib/modules/$version"/modules.order "$work/k/lib/modules/$version"/modules.builtin* "$work/initramfs/lib/modules/$version/"
depmod -b "$work/initramfs" "$version"
(cd "$work/initramfs" && find . | sort | cpio -o -H newc --quiet --reproducible -R 0:0) >"$work/initramfs.cpio"
cat "$commands" >>"$work/initramfs.cpio"
zstd -q -11 -o "$work/side/initramfs" "$work/initramfs.cpio"

# tar, ESP, disk
tar --sort=name --owner=0 --group=0 --mtime=@$SOURCE_DATE_EPOCH -C "$work/side" -cf "$work/os.tar" .
grub-mkimage -O x86_64-efi -o "$work/esp/EFI/BOOT/BOOTX64.EFI" -p /grub part_gpt fat ext2 normal linux serial
truncate -s 300M "$work/esp.img" && mkfs.fat -F 32 -s 8 -n PSYOPSOSEFI "$work/esp.img" >/dev/null
mcopy -s -i "$work/esp.img" "$work/esp/EFI" ::
truncate -s 64M "$work/esp2.img" && mkfs.fat -F 32 -s 1 -n PSYOPSESP2 "$work/esp2.img" >/dev/null
mcopy -s -i "$work/esp2.img" "$work/esp/EFI" ::
for label in psyopsOS-A psyopsOS-B; do
	mke2fs -q -t ext4 -L "$label" -d "$work/side" "$work/$label.img" 160M
done
mke2fs -q -t ext4 -L psyops-secret "$work/secret.img" 16M
truncate -s 702M "$work/disk.img"
at=1
for part in esp.img:300 secret.img:16 psyopsOS-A.img:160 psyopsOS-B.img:160 esp2.img:64; do
	dd if="$work/${part%:*}" of="$work/disk.img" bs=1M seek=$at conv=notrunc,sparse status=none
	sgdisk -a 2048 -n "0:${at}M:+${part#*:}M" "$work/disk.img" >/dev/null
	at=$((at + ${part#*:}))
done
