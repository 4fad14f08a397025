package t::lib::Process;

# Child processes that end with the test: started with fork and exec, stopped by their own id.

use strict;
use warnings;

use IO::Socket::INET;
use POSIX ();
use Time::HiRes qw(sleep time);

my $PR_SET_PDEATHSIG = 1;
my %SYS_PRCTL = (x86_64 => 157, aarch64 => 167);
my %SYS_UNSHARE = (x86_64 => 272, aarch64 => 97);
my $CLONE_NEWNET = 0x40000000;
my $CLONE_NEWUSER = 0x10000000;
my $SIOCSIFFLAGS = 0x8914;
my $IFF_UP_RUNNING = 0x41;

my $ARCH = (POSIX::uname())[4];
my %RUNNING;

# Gives this process a network of its own, with only a loopback: the fixed ports of the test
# format then collide with nobody. Without the right to do so, a lock makes runs take turns.
sub isolate_network {
    return 'shared' if ($ENV{TEST_NETNS} // '') eq '0';
    my $number = $SYS_UNSHARE{$ARCH};
    my $flags = $> == 0 ? $CLONE_NEWNET : $CLONE_NEWNET | $CLONE_NEWUSER;
    if ($number && syscall($number, $flags) == 0) {
        socket(my $any, 2, 2, 0) or die "socket: $!";
        my $request = pack 'a16 s x22', 'lo', $IFF_UP_RUNNING;
        return 'own' if ioctl($any, $SIOCSIFFLAGS, $request);
        die "cannot bring up the loopback of the new network: $!\n";
    }
    open our $LOCK, '>>', '/tmp/moongate-test.lock' or die "/tmp/moongate-test.lock: $!";
    flock $LOCK, 2 or die "flock: $!";
    return 'locked';
}

# Starts `command` with its output appended to `log`; returns its id.
sub start {
    my (%arg) = @_;
    my $pid = fork();
    die "fork: $!" if !defined $pid;
    if ($pid == 0) {
        # The child goes when this process goes, however that ends.
        syscall($SYS_PRCTL{$ARCH}, $PR_SET_PDEATHSIG, 9) if $SYS_PRCTL{$ARCH};
        chdir $arg{dir} if $arg{dir};
        open STDIN, '<', '/dev/null';
        open STDOUT, '>>', $arg{log};
        open STDERR, '>&', \*STDOUT;
        $ENV{$_} = $arg{env}{$_} for keys %{ $arg{env} || {} };
        { exec { $arg{command}[0] } @{ $arg{command} }; }
        print STDERR "cannot run $arg{command}[0]: $!\n";
        POSIX::_exit(127);
    }
    $RUNNING{$pid} = 1;
    return $pid;
}

# Whether the child still runs; if not, its wait status is kept for `status`.
sub alive {
    my ($pid) = @_;
    return 0 if !defined $pid || !$RUNNING{$pid};
    my $got = waitpid $pid, POSIX::WNOHANG();
    return 1 if $got == 0;
    $RUNNING{$pid} = 0;
    our %STATUS;
    $STATUS{$pid} = $?;
    return 0;
}

sub status {
    my ($pid) = @_;
    our %STATUS;
    return $STATUS{$pid};
}

sub stop {
    my ($pid, $signal) = @_;
    return if !alive($pid);
    kill $signal || 'INT', $pid;
    my $deadline = time() + 3;
    while (alive($pid)) {
        kill 'KILL', $pid if time() > $deadline;
        sleep 0.005;
    }
}

sub stop_all {
    stop($_, 'INT') for grep { $RUNNING{$_} } keys %RUNNING;
}

# Waits until `check` returns true, or `seconds` have passed.
sub wait_until {
    my ($seconds, $check) = @_;
    my $deadline = time() + $seconds;
    while (1) {
        my $result = $check->();
        return $result if $result;
        return 0 if time() > $deadline;
        sleep 0.01;
    }
}

sub port_open {
    my ($port) = @_;
    my $sock = IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port, Timeout => 1);
    return 0 if !$sock;
    close $sock;
    return 1;
}

1;
