# The rack's wire as an attacker has it: prints each permit that the controller sends ("<sent at, ms> <frame in hex>"),
# also those that are dropped on their way, and puts onto a node's cable what it is told ("<cable> <frame in hex>").
#
#   perl wire.pl BRIDGE CABLE...
use strict;
use warnings;
use Socket;

my ($PF_PACKET, $ETH_P_ALL, $PACKET_OUTGOING) = (17, 0x0300, 4);
my ($bridge, @cables) = @ARGV;
my %socket = map { $_ => bound($_) } $bridge, @cables;
$| = 1;
print "ready\n";
my $input = '';
while (1) {
    my $ready = '';
    vec($ready, fileno($_), 1) = 1 for \*STDIN, $socket{$bridge};
    select($ready, undef, undef, undef) > 0 or next;
    if (vec($ready, fileno($socket{$bridge}), 1)) {
        my $from = recv($socket{$bridge}, my $frame, 2048, 0);
        # IPv4, UDP, from the roll call's port.
        print unpack('H*', $frame), "\n"
            if defined $from && unpack('x10 C', $from) == $PACKET_OUTGOING && length $frame > 42
            && unpack('x12 n x9 C x10 n', $frame) == 0x0800 && unpack('x23 C', $frame) == 17 && unpack('x34 n', $frame) == 5670;
    }
    if (vec($ready, fileno(STDIN), 1)) {
        sysread(STDIN, $input, 65536, length $input) or exit;
        while ($input =~ s/^(\S+) ([0-9a-f]+)\n//) {
            send($socket{$1}, pack('H*', $2), 0) if exists $socket{$1};
        }
    }
}

sub bound {
    my $name = shift;
    socket(my $socket, $PF_PACKET, SOCK_RAW, $ETH_P_ALL) or die "cannot listen on the wire: $!\n";
    # SIOCGIFINDEX
    my $request = pack('a16 x24', $name);
    ioctl($socket, 0x8933, $request) or die "there is no interface $name: $!\n";
    my $index = unpack('x16 i', $request);
    bind($socket, pack('S n i S C C x8', $PF_PACKET, 0x0003, $index, 0, 0, 0)) or die "cannot listen on $name: $!\n";
    return $socket;
}
