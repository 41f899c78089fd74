#!/bin/sh
# run.sh FOLDER JOB: boots the VM that setup.sh put into FOLDER, and runs JOB/job.sh in it, as root.
#
# What the job writes to its outputs comes out here; its exit code is in JOB/status in the end, and what the kernel said
# in JOB/console. No status: the VM did not boot, or was ended. Paths are absolute and plain.
# The job sees this machine's files, and what it writes is gone when it ends. It has no network but 127.0.0.1.
set -eu
folder=$1
job=$2

LD_LIBRARY_PATH=$folder/usr/lib/x86_64-linux-gnu:$folder/lib/x86_64-linux-gnu
export LD_LIBRARY_PATH
# 57-bit addresses would make each walk of the page table longer. The clock is the time stamp counter without more ado:
# on a busy machine the kernel would take an emulated one for broken, and change to a clock that costs much more.
exec "$folder/usr/bin/qemu-system-x86_64" \
    -L "$folder/usr/share/qemu" -L "$folder/usr/share/seabios" -L /usr/share/seabios \
    -nodefaults -no-user-config -display none -no-reboot \
    -machine q35 -accel tcg,thread=multi -cpu max,la57=off -smp 2 -m 2048 \
    -kernel "$folder/vmlinuz" -initrd "$folder/initrd.gz" \
    -append "ahoy-vm folder=$folder job=$job console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr audit=0 clocksource=tsc tsc=nowatchdog" \
    -serial "file:$job/console" \
    -virtfs local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -device virtio-serial-pci \
    -chardev file,id=output,path=/dev/stdout,append=on -device virtserialport,chardev=output \
    -chardev "file,id=status,path=$job/status" -device virtserialport,chardev=status \
    < /dev/null
