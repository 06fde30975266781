# Runs a program with a file system of its own: the machine's programs, read-only, and what the pod mounts.
# Arguments: the directory that becomes its root; a file of lines SOURCE, TARGET, rw or ro, set apart by tabs; rw or ro, for the
# root itself; user; group; the program and its arguments. To be run in a new mount namespace, with which all mounts go.
set -eu
root=$1 mounts=$2 access_of_root=$3 user=$4 group=$5
shift 5
mount -t tmpfs -o mode=0755 pod "$root"
for name in bin sbin lib lib32 lib64 libx32 usr dev proc sys; do
    if [ -L "/$name" ]; then
        ln -s "$(readlink "/$name")" "$root/$name"
    elif [ -d "/$name" ]; then
        mkdir "$root/$name"
        mount --rbind "/$name" "$root/$name"
    fi
done
mount -o remount,bind,ro "$root/usr"
# Links, for these files are replaced while the pod runs; and pods mount things of their own below /etc.
mkdir "$root/etc"
for name in hosts nsswitch.conf passwd group; do
    ln -s "/kubelet/$name" "$root/etc/$name"
done
tab=$(printf '\t')
while IFS="$tab" read -r source target access; do
    if [ -d "$source" ]; then
        mkdir -p "$root$target"
    else
        mkdir -p "$(dirname "$root$target")"
        : >"$root$target"
    fi
    mount --bind "$source" "$root$target"
    [ "$access" = rw ] || mount -o remount,bind,ro "$root$target"
done <"$mounts"
[ "$access_of_root" = rw ] || mount -o remount,ro "$root"
exec chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$group" --clear-groups --no-new-privs --bounding-set=-all \
    --inh-caps=-all --pdeathsig KILL "$@"
