#!/usr/bin/env bash
# As atmoz/sftp starts: one user, told as name:password:uid:gid:folder,folder, jailed in their home.
set -euo pipefail
IFS=: read -r user password uid gid folders <<< "$1"
if ! id "$user" > /dev/null 2>&1; then
    groupadd --gid "$gid" "$user"
    useradd --uid "$uid" --gid "$gid" --home-dir "/home/$user" --shell /usr/sbin/nologin "$user"
fi
echo "$user:$password" | chpasswd
install --directory --owner=root --mode=755 "/home/$user" /run/sshd
IFS=, read -ra names <<< "$folders"
for name in "${names[@]}"; do
    install --directory --owner="$user" --group="$user" "/home/$user/$name"
done
ssh-keygen -A > /dev/null
exec /usr/sbin/sshd -D -e -f /dev/null -o "ListenAddress=$LISTEN" -o "ForceCommand=internal-sftp" -o "ChrootDirectory=%h" \
    -o "PasswordAuthentication=yes" -o "Subsystem=sftp internal-sftp" -o "UsePAM=no"
