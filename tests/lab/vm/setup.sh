#!/bin/sh
# setup.sh FOLDER: puts into FOLDER (an absolute path) what run.sh needs, from the Debian archive. Needs no root and
# installs nothing.
#
#   usr, bin, lib        QEMU, v4l2-ctl and busybox, unpacked, with the libraries that this machine lacks; links to
#                        those of them that it has
#   vmlinuz, initrd.gz   Debian's kernel, and busybox with `init` and the modules listed below
#   made-by              the scripts that made it
#
# All is done in FOLDER.partial, which is renamed in the last step: a FOLDER that exists is whole.
# Exit code 69: it cannot be done on this machine; the last line on standard error says why.
set -eu

modules="virtio_pci virtio_console 9pnet_virtio 9p overlay vivid snd-aloop"

here=$(cd "$(dirname "$0")" && pwd)
folder=$1
partial=$folder.partial

cannot() {
    echo "$1" >&2
    exit 69
}

[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || cannot "the VM is made for Linux on x86-64"
for program in apt-get dpkg awk gzip; do
    command -v "$program" > /dev/null || cannot "here is no $program, with which the VM is fetched from Debian"
done
rm -rf "$folder" "$partial"
mkdir -p "$partial"
cd "$partial"
trap 'rm -rf "$partial"' EXIT
# It needs 600 MB on the way, and keeps 100.
[ "$(df -Pk . | awk 'NR == 2 { print $4 }')" -ge 800000 ] || cannot "the VM needs 800 MB of disk until it is set up"

# apt's lists and cache lie in here, so that anybody may run this, and the system's stay as they are.
# Which packages are installed it takes from the system, and fetches those that are missing.
mkdir -p apt/lists/partial apt/archives/partial
cat > apt.conf << END
Dir::State "$PWD/apt";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "$PWD/apt";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "20";
APT::Sandbox::User "root";
END
export APT_CONFIG="$PWD/apt.conf"

# apt-get update ends well without a network too.
apt-get -qq update || true
image=$(apt-cache depends linux-image-amd64 2> /dev/null | awk '/Depends: linux-image/ { print $2; exit }')
[ -n "$image" ] || cannot "apt-get finds no linux-image-amd64: here is no network, or no Debian"
packages=$(apt-get -qq --simulate --no-install-recommends install busybox-static qemu-system-x86 v4l-utils |
    awk '$1 == "Inst" { print $2 }')
# shellcheck disable=SC2086 # a list
apt-get -qq download "$image" $packages || cannot "the packages for the VM cannot be fetched from the Debian archive"

mkdir kernel
dpkg -x "$image"_*.deb kernel
rm "$image"_*.deb
# Where this machine has all of them, there is none.
for package in *.deb; do
    [ ! -e "$package" ] || dpkg -x "$package" .
done
# What is installed is not among them. The VM sees it under the same path.
mkdir -p bin usr/bin
# Debian 13 has moved it there.
[ ! -e usr/bin/busybox ] || ln -sf ../usr/bin/busybox bin/busybox
for program in bin/busybox usr/bin/qemu-system-x86_64 usr/bin/v4l2-ctl; do
    [ ! -e "$program" ] || continue
    own=$(command -v "${program##*/}") || cannot "apt-get neither finds nor fetches ${program##*/} for the VM"
    ln -s "$own" "$program"
done

version=${image#linux-image-}
bin/busybox depmod -b kernel "$version"
mkdir -p initrd/bin initrd/lib/modules
cp bin/busybox initrd/bin
cp "$here/init" initrd
# A line of modules.dep is `module: every module that it needs`.
for module in $modules; do
    sed -n "s,^\([^:]*/$module\.ko[^:]*\):,\1,p" "kernel/lib/modules/$version/modules.dep"
done | tr ' ' '\n' | sort -u | while read -r module; do
    install -D -m 644 "kernel/lib/modules/$version/$module" "initrd/lib/modules/$version/$module"
done
bin/busybox depmod -b initrd "$version"
(cd initrd && find . | ../bin/busybox cpio -o -H newc 2> /dev/null) | gzip -1 > initrd.gz
mv "kernel/boot/vmlinuz-$version" vmlinuz

rm -rf apt apt.conf kernel initrd ./*.deb usr/share/doc usr/share/locale
LD_LIBRARY_PATH=usr/lib/x86_64-linux-gnu:lib/x86_64-linux-gnu usr/bin/qemu-system-x86_64 --version > /dev/null
mkdir made-by
cp "$here/setup.sh" "$here/init" made-by
trap - EXIT
mv "$partial" "$folder"
