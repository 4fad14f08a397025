package t::lib::Client;

# A small HTTP/1 client on a raw socket. It sends exactly the bytes it is given, so that tests can
# send malformed and hostile requests, and it keeps every byte of the answers.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Select;
use IO::Socket::INET;
use Time::HiRes qw(time);

my $READ_SIZE = 65536;

# Sends `packets` (each {data, delay}: delay in seconds before it is sent) over one connection and
# reads one answer for each entry of `methods`. Returns (\@answers, $error): $error is undef,
# "timeout", or what the socket said. An answer is a hash with
# status, head (raw), headers ([[name, value], ...]) and body.
sub exchange {
    my (%arg) = @_;
    my $sock = IO::Socket::INET->new(
        PeerHost => $arg{host} || '127.0.0.1',
        PeerPort => $arg{port},
        Timeout  => $arg{timeout},
    ) or return [], "connect to port $arg{port}: $@";
    $sock->blocking(0);

    my $state = {
        sock     => $sock,
        packets  => [@{ $arg{packets} }],
        methods  => [@{ $arg{methods} }],
        shutdown => $arg{shutdown},
        in       => '',
        out      => '',
        answers  => [],
        deadline => time() + $arg{timeout},
    };
    $state->{send_at} = time() + ($state->{packets}[0]{delay} || 0);
    local $SIG{PIPE} = 'IGNORE';
    my $error = talk($state);
    close $sock;
    return $state->{answers}, $error;
}

sub talk {
    my ($state) = @_;
    my $sock = $state->{sock};
    my $select = IO::Select->new($sock);
    while (@{ $state->{methods} }) {
        my $now = time();
        return 'timeout' if $now >= $state->{deadline};
        take_packet($state, $now);
        my $wait = $state->{deadline} - $now;
        if (@{ $state->{packets} } && $state->{send_at} > $now) {
            my $until = $state->{send_at} - $now;
            $wait = $until if $until < $wait;
        }
        my $writer = length $state->{out} ? $select : undef;
        my ($can_read, $can_write) = IO::Select->select($select, $writer, undef, $wait);
        send_some($state) if $can_write && @$can_write;
        next unless $can_read && @$can_read;
        my $got = sysread($sock, $state->{in}, $READ_SIZE, length $state->{in});
        next if !defined $got && ($! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR);
        my $eof = !$got;
        my $reset = defined $got ? undef : "read: $!";
        collect($state, $eof);
        next unless $eof;
        return @{ $state->{methods} } ? $reset || 'closed' : undef;
    }
    return undef;
}

sub take_packet {
    my ($state, $now) = @_;
    while (@{ $state->{packets} } && !length $state->{out} && $state->{send_at} <= $now) {
        my $packet = shift @{ $state->{packets} };
        $state->{out} .= $packet->{data};
        my $next = $state->{packets}[0];
        $state->{send_at} = $now + ($next->{delay} || 0) if $next;
    }
}

sub send_some {
    my ($state) = @_;
    my $sent = syswrite($state->{sock}, $state->{out});
    if (!defined $sent) {
        # The peer may have refused the request and closed: its answer is still to be read.
        return if $! == EAGAIN || $! == EWOULDBLOCK || $! == EINTR;
        $state->{out} = '';
        $state->{packets} = [];
        return;
    }
    substr($state->{out}, 0, $sent, '');
    return if length $state->{out} || @{ $state->{packets} };
    shutdown($state->{sock}, 1) if $state->{shutdown};
}

sub collect {
    my ($state, $eof) = @_;
    while (@{ $state->{methods} }) {
        my $answer = parse(\$state->{in}, $state->{methods}[0], $eof) or return;
        shift @{ $state->{methods} };
        push @{ $state->{answers} }, $answer;
    }
}

# Takes one final answer off the front of `$$buf`, or returns undef when more bytes are needed.
# Interim answers (1xx but 101) are kept in `interim`.
sub parse {
    my ($buf, $method, $eof) = @_;
    my $pos = 0;
    my @interim;
    while (1) {
        my $end = index($$buf, "\r\n\r\n", $pos);
        return not_http($buf, $eof) if $end < 0;
        my $head = substr($$buf, $pos, $end + 4 - $pos);
        my ($status) = $head =~ m{\AHTTP/1\.[01] (\d\d\d)} or return not_http($buf, $eof);
        $pos = $end + 4;
        if ($status < 200 && $status != 101) {
            push @interim, $status;
            next;
        }
        my $answer = { status => $status, head => $head, interim => \@interim };
        $answer->{headers} = header_list($head);
        my ($body, $next) = body_of($buf, $pos, $answer, $method, $eof);
        return undef if !defined $next;
        $answer->{body} = $body;
        substr($$buf, 0, $next, '');
        return $answer;
    }
}

# What is not HTTP/1 counts as an answer without status once the peer has closed.
sub not_http {
    my ($buf, $eof) = @_;
    return undef if !$eof || !length $$buf;
    my $answer = { status => '', head => '', headers => [], body => $$buf, interim => [] };
    $$buf = '';
    return $answer;
}

sub header_list {
    my ($head) = @_;
    my @lines = split /\r\n/, $head;
    shift @lines;
    my @list;
    for my $line (@lines) {
        my ($name, $value) = $line =~ /\A([^:]*):[ \t]*(.*?)[ \t]*\z/s or next;
        push @list, [$name, $value];
    }
    return \@list;
}

# All values of one header joined by ", ", or undef.
sub header {
    my ($answer, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $answer->{headers} };
    return @values ? join(', ', @values) : undef;
}

sub body_of {
    my ($buf, $pos, $answer, $method, $eof) = @_;
    my $status = $answer->{status};
    return ('', $pos) if $method eq 'HEAD' || $status == 204 || $status == 304;
    my $coding = header($answer, 'Transfer-Encoding');
    return chunked_body($buf, $pos, $answer, $eof) if $coding && $coding =~ /chunked/i;
    my $length = header($answer, 'Content-Length');
    if (defined $length && $length =~ /\A\d+\z/ && $status != 101) {
        return (substr($$buf, $pos, $length), $pos + $length) if length($$buf) >= $pos + $length;
        return if !$eof;
        $answer->{truncated} = 1;
        return (substr($$buf, $pos), length $$buf);
    }
    return if !$eof;
    return (substr($$buf, $pos), length $$buf);
}

sub chunked_body {
    my ($buf, $pos, $answer, $eof) = @_;
    my $body = '';
    while (1) {
        my $eol = index($$buf, "\r\n", $pos);
        last if $eol < 0;
        my ($hex) = substr($$buf, $pos, $eol - $pos) =~ /\A([0-9a-fA-F]+)/ or last;
        my $size = hex $hex;
        my $start = $eol + 2;
        if ($size == 0) {
            my $close = substr($$buf, $start, 2) eq "\r\n"
                ? $start : index($$buf, "\r\n\r\n", $start) + 2;
            last if $close < 2;
            $answer->{trailers} = header_list("\r\n" . substr($$buf, $start, $close - $start));
            return ($body, $close + 2);
        }
        last if length($$buf) < $start + $size + 2;
        $body .= substr($$buf, $start, $size);
        $pos = $start + $size + 2;
    }
    return if !$eof;
    $answer->{truncated} = 1;
    return ($body, length $$buf);
}

1;
