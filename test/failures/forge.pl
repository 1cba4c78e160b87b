# Heartbeats with a wrong signature, as fast as one process can send them, or RATE a second.
#
#   perl forge.pl CONTROLLER SECONDS RATE SESSION…    RATE 0: as fast as it goes; prints how many were sent
#
# Of a session that is given everything is right but the signature and the nonce; where none is, of sessions that nobody has.
use strict;
use warnings;
use Socket;
use Time::HiRes qw(time sleep);

my ($controller, $seconds, $rate, @sessions) = @ARGV;
socket(my $socket, PF_INET, SOCK_DGRAM, 0) or die "no socket: $!\n";
connect($socket, pack_sockaddr_in(5670, inet_aton($controller))) or die "cannot reach $controller: $!\n";
my $fields = pack('Q> Q> N n C C', 0, 0, 1, 20, 0, 0);
my ($sent, $began) = (0, time);
while (time - $began < $seconds) {
    for (1 .. 200) {
        my $session = @sessions ? pack('H*', $sessions[$sent % @sessions]) : pack('N4', map { rand 2**32 } 1 .. 4);
        my $sequence = 1_000 + $sent;
        send($socket, "MUST\x01\x01\0\0" . $session . pack('Q>', $sequence) . pack('N4', map { rand 2**32 } 1 .. 4)
            . $fields . ('x' x 32), 0);
        $sent++;
    }
    sleep 0.001 while $rate && time - $began < $seconds && $sent / (time - $began) > $rate;
}
printf "%d in %.1f s\n", $sent, time - $began;
