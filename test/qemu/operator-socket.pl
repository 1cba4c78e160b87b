# The operators' TCP socket of a virtual rack: it listens on the host's loopback, while the controller that answers on it
# lives in the rack's own network namespace and may be killed and started again without a caller being refused.
#
#   perl operator-socket.pl hold PORT -- PROGRAM…       listens, prints the port, becomes PROGRAM, which holds the socket
#   perl operator-socket.pl take HOLDER -- PROGRAM…     becomes PROGRAM with that socket as file descriptor 3
use strict;
use warnings;
use Fcntl;
use POSIX ();
use Socket;

my ($verb, $which, $dashes, @program) = @ARGV;
@program && $dashes eq '--' or die "usage: operator-socket.pl hold PORT|take HOLDER -- PROGRAM ARGUMENT...\n";
my $fd = $verb eq 'hold' ? listening($which) : taken($which);
POSIX::dup2($fd, 3) == 3 or fail("cannot keep the operators' socket as descriptor 3: $!") unless $fd == 3;
open my $socket, '<&=', 3 or fail("cannot use descriptor 3: $!");
fcntl($socket, F_SETFD, 0) or fail("cannot hand on the operators' socket: $!");
exec { $program[0] } @program or fail("cannot start $program[0]: $!");

sub listening {
    my $port = shift;
    socket(my $listener, PF_INET, SOCK_STREAM, 0) or fail("no TCP socket: $!");
    setsockopt($listener, SOL_SOCKET, SO_REUSEADDR, 1);
    bind($listener, pack_sockaddr_in($port, INADDR_LOOPBACK)) or fail(
        $!{EADDRINUSE} ? "port $port of 127.0.0.1 is in use: want a free one, as in npm start -- --port 8081"
        :                "cannot listen on 127.0.0.1:$port: $!");
    listen($listener, 511) or fail("cannot listen on 127.0.0.1:$port: $!");
    $| = 1;
    print 'port ', (unpack_sockaddr_in(getsockname $listener))[0], "\n";
    return POSIX::dup(fileno $listener);
}

# pidfd_open and pidfd_getfd have one number each on every architecture; both are older than Debian 12's kernel.
sub taken {
    my $pidfd = syscall(434, $which + 0, 0);
    my $taken = $pidfd < 0 ? -1 : syscall(438, $pidfd, 3, 0);
    return $taken >= 0 ? $taken : fail("cannot take the operators' socket from process $which: $!");
}

sub fail { print STDERR "$_[0]\n"; exit 1 }
