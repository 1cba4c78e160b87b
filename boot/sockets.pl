# Opens UDP sockets that hear one interface only, and becomes the given program, which inherits them. Node.js cannot set
# SO_BINDTODEVICE; perl-base is on every Debian.
#
#   perl sockets.pl eth1 dhcp=0.0.0.0:67 tftp=0.0.0.0:69 -- node main.ts …
#
# The program finds MUSTER_SOCKETS="dhcp=3,tftp=4" in its environment. No SO_REUSEADDR: two servers could then share a
# port, and each would hear half of what the boards say. A UDP port has no memory of its last owner, so none is needed.
use strict;
use warnings;
use Socket;
use Fcntl;

my ($SO_RCVBUFFORCE, $SO_BINDTODEVICE) = (33, 25);    # <asm-generic/socket.h>
my $interface = shift @ARGV or die "usage: sockets.pl INTERFACE NAME=ADDRESS:PORT... -- PROGRAM ARGUMENT...\n";
grep { $_ eq $interface } interfaces() or fail("there is no network interface '$interface'; there are: " . join ', ', interfaces());
my (@sockets, @names);
while (defined(my $wanted = shift @ARGV)) {
    last if $wanted eq '--';
    my ($name, $address, $port) = $wanted =~ /^([a-z]+)=([\d.]+):(\d+)$/ or fail("'$wanted' is not NAME=ADDRESS:PORT");
    socket(my $socket, PF_INET, SOCK_DGRAM, 0) or fail("no socket for $port/udp: $!");
    setsockopt($socket, SOL_SOCKET, $SO_BINDTODEVICE, pack('Z*', $interface)) or fail("cannot listen on $interface alone: $!");
    setsockopt($socket, SOL_SOCKET, SO_BROADCAST, 1) or fail("cannot broadcast on $interface: $!");
    # 684 boards ask at once. The larger buffer needs CAP_NET_ADMIN; without it, what the system allows has to do.
    setsockopt($socket, SOL_SOCKET, $SO_RCVBUFFORCE, 4 << 20) or setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 4 << 20);
    my ($bound, $why);
    for (1 .. 60) {
        $bound = bind($socket, pack_sockaddr_in($port, inet_aton($address))) and last;
        $why = $! + 0;
        # A controller that was killed takes its boot process along, which may be a moment later.
        $!{EADDRINUSE} ? select(undef, undef, undef, 0.05) : last;
    }
    $! = $why unless $bound;
    $bound or fail(
        $!{EADDRINUSE} ? "port $port/udp on $interface is in use by " . owner($port)
        : $!{EADDRNOTAVAIL} ? "this machine does not have the address $address"
        :                     "cannot listen on $address:$port/udp of $interface: $!");
    fcntl($socket, F_SETFD, 0) or fail("cannot hand on the socket of $port/udp: $!");
    push @sockets, $socket;
    push @names, "$name=" . fileno($socket);
}
@ARGV or fail('no program to start');
$ENV{MUSTER_SOCKETS} = join ',', @names;
exec { $ARGV[0] } @ARGV or fail("cannot start $ARGV[0]: $!");

sub fail { print STDERR "muster: $_[0]\n"; exit 1 }

# Not from /sys, which goes on showing the network namespace that it was mounted in.
sub interfaces {
    open my $table, '<', '/proc/net/dev' or fail("cannot read /proc/net/dev: $!");
    return sort map { /^\s*(\S+):/ ? $1 : () } <$table>;
}

# The program that holds a UDP port, by the inode that /proc/net/udp shows.
sub owner {
    my $port = sprintf ':%04X', shift;
    open my $table, '<', '/proc/net/udp' or return 'another program';
    my %inodes = map { $_->[9] => 1 } grep { $_->[1] =~ /$port$/ } map { [split] } <$table>;
    for my $fd (glob '/proc/[0-9]*/fd/*') {
        my ($pid, $inode) = ($fd =~ m{^/proc/(\d+)}, (readlink($fd) // '') =~ /^socket:\[(\d+)\]$/) or next;
        next unless defined $inode && $inodes{$inode};
        # Not its comm: there every Node.js program is called MainThread.
        open my $line, '<', "/proc/$pid/cmdline" or next;
        my ($program, $script) = grep { m{^[\w./][\w./-]{0,200}$} } split /\0/, do { local $/; <$line> } // next;
        my $name = join ' ', map { s{.*/}{}r } grep { defined } $program, $script;
        return "$name (process $pid)";
    }
    return 'another program';
}
