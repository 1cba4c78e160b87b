# Hands lines on to the service manager (sd_notify(3)): Node.js has no datagram sockets of the file system, and perl-base is
# on every Debian. Ends when the controller ends: that closes its standard input.
use strict;
use warnings;
use Socket;

$0 = 'muster-notify';
my $path = $ENV{NOTIFY_SOCKET} // die "NOTIFY_SOCKET is not set\n";
$path =~ s/^\@/\0/;
socket(my $manager, PF_UNIX, SOCK_DGRAM, 0) or die "no socket: $!\n";
connect($manager, pack_sockaddr_un($path)) or die "cannot reach the service manager: $!\n";
while (my $line = <STDIN>) {
    chomp $line;
    # A manager that is being restarted hears the next one.
    send $manager, $line, 0;
}
