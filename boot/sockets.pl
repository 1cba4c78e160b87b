# Opens UDP sockets that hear one interface only, and becomes the given program, which inherits them. Node.js cannot set
# SO_BINDTODEVICE; perl-base is on every Debian.
#
#   perl sockets.pl eth1 dhcp=0.0.0.0:67 tftp=0.0.0.0:69 -- node main.ts …
#
# The program finds MUSTER_SOCKETS="dhcp=3,tftp=4" in its environment. No SO_REUSEADDR: two servers could then share a
# port, and each would hear half of what the boards say. A UDP port has no memory of its last owner, so none is needed.
#
# Under systemd (NOTIFY_SOCKET) each socket also goes into the service's store of descriptors (sd_pid_notify_with_fds(3)), as
# tftp/eth1/10.77.0.1/69: what arrives while the program is restarted waits in it. The program that is started again finds
# it by that name (controller/service-manager.ts); one of another interface or address is taken out of the store here.
use strict;
use warnings;
use Socket;
use Fcntl;
use POSIX ();

my ($SO_RCVBUFFORCE, $SO_BINDTODEVICE) = (33, 25);    # <asm-generic/socket.h>
my $interface = shift @ARGV or die "usage: sockets.pl INTERFACE NAME=ADDRESS:PORT... -- PROGRAM ARGUMENT...\n";
grep { $_ eq $interface } interfaces() or fail("there is no network interface '$interface'; there are: " . join ', ', interfaces());
my $manager = manager();
forget($manager, $_) for $manager ? split(/:/, $ENV{LISTEN_FDNAMES} // '') : ();
my (@sockets, @names);
while (defined(my $wanted = shift @ARGV)) {
    last if $wanted eq '--';
    my ($name, $address, $port) = $wanted =~ /^([a-z]+)=([\d.]+):(\d+)$/ or fail("'$wanted' is not NAME=ADDRESS:PORT");
    socket(my $socket, PF_INET, SOCK_DGRAM, 0) or fail("no socket for $port/udp: $!");
    setsockopt($socket, SOL_SOCKET, $SO_BINDTODEVICE, pack('Z*', $interface)) or fail("cannot listen on $interface alone: $!");
    setsockopt($socket, SOL_SOCKET, SO_BROADCAST, 1) or fail("cannot broadcast on $interface: $!");
    # 684 boards ask at once. The larger buffer needs CAP_NET_ADMIN; without it, what the system allows has to do.
    setsockopt($socket, SOL_SOCKET, $SO_RCVBUFFORCE, 4 << 20) or setsockopt($socket, SOL_SOCKET, SO_RCVBUF, 4 << 20);
    bound($socket, pack_sockaddr_in($port, inet_aton($address))) or fail(
        $!{EADDRINUSE} ? "port $port/udp on $interface is in use by " . owner($port)
        : $!{EADDRNOTAVAIL} ? "this machine does not have the address $address"
        :                     "cannot listen on $address:$port/udp of $interface: $!");
    fcntl($socket, F_SETFD, 0) or fail("cannot hand on the socket of $port/udp: $!");
    store($manager, "$name/$interface/$address/$port", fileno $socket) if $manager;
    push @sockets, $socket;
    push @names, "$name=" . fileno($socket);
}
@ARGV or fail('no program to start');
$ENV{MUSTER_SOCKETS} = join ',', @names;
delete @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)};
exec { $ARGV[0] } @ARGV or fail("cannot start $ARGV[0]: $!");

# What was just taken out of the store may be open a moment longer, and so may what a controller that was killed handed to
# its boot process, which it takes along. For another program's port there is nothing to wait for.
sub bound {
    my ($socket, $address) = @_;
    for my $try (1 .. 60) {
        return 1 if bind($socket, $address);
        return 0 unless $!{EADDRINUSE};
        if ($try == 1 && owner((sockaddr_in($address))[0]) !~ /^(?:muster|node|systemd|another program)/) {
            $! = POSIX::EADDRINUSE();
            return 0;
        }
        select undef, undef, undef, 0.05;
    }
    return bind($socket, $address);
}

# The socket of the service manager, or nothing where there is none.
sub manager {
    my $path = $ENV{NOTIFY_SOCKET} // return;
    $path =~ s/^\@/\0/;
    socket(my $socket, PF_UNIX, SOCK_DGRAM, 0) or fail("no socket for the service manager: $!");
    connect($socket, pack_sockaddr_un($path)) or fail("cannot reach the service manager: $!");
    return $socket;
}

sub forget { my ($socket, $name) = @_; send $socket, "FDSTOREREMOVE=1\nFDNAME=$name", 0 }

# sendmsg(2) with SCM_RIGHTS, which perl itself cannot do: struct msghdr, iovec and cmsghdr of 64-bit Linux.
sub store {
    my ($socket, $name, $fd) = @_;
    my $number = { x86_64 => 46, aarch64 => 211 }->{(POSIX::uname)[4]} or return;
    my $text = "FDSTORE=1\nFDNAME=$name";
    my $data = pack 'P Q', $text, length $text;
    my $control = pack 'Q i i i x4', 20, SOL_SOCKET, 1, $fd;
    my $message = pack 'Q L x4 P Q P Q i x4', 0, 0, $data, 1, $control, length $control, 0;
    # Without it a restart loses what arrives meanwhile, and nothing else.
    syscall($number, fileno($socket), $message, 0) >= 0 or print STDERR "muster: cannot keep the socket of $name: $!\n";
}

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
        # One that ends has its sockets for a moment longer than its name.
        return ($name || 'another program') . " (process $pid)";
    }
    return 'another program';
}
