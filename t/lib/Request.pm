package t::lib::Request;

# Turns the request sections of a block (request, pipelined_requests, raw_request, more_headers)
# into the bytes to send.

use strict;
use warnings;

# Returns {packets => [{data, delay}], methods => [...]} or undef when the block sends nothing.
sub of_block {
    my ($block) = @_;
    my $raw = $block->raw_request;
    return from_raw($raw, scalar $block->raw_request_middle_delay, expected_count($block))
        if defined $raw;

    my $more = $block->more_headers;
    my $many = $block->pipelined_requests;
    if (defined $many) {
        die "pipelined_requests must be an array: write `pipelined_requests eval`\n"
            if ref $many ne 'ARRAY';
        my (@packets, @methods);
        for my $i (0 .. $#$many) {
            my $connection = $i == $#$many ? 'close' : 'keep-alive';
            my $headers = ref $more eq 'ARRAY' ? $more->[$i] : $more;
            my $built = build([parts($many->[$i])], $headers, $connection);
            push @packets, @{ $built->{packets} };
            push @methods, $built->{method};
        }
        return { packets => \@packets, methods => \@methods };
    }

    my $request = $block->request;
    return undef if !defined $request;
    $more = $more->[0] if ref $more eq 'ARRAY';
    my $built = build([parts($request)], $more, 'close');
    return { packets => $built->{packets}, methods => [$built->{method}] };
}

# How many answers a block expects: that is what an array of error codes says.
sub expected_count {
    my ($block) = @_;
    my $code = $block->error_code;
    return ref $code eq 'ARRAY' ? scalar @$code : 1;
}

sub from_raw {
    my ($raw, $delay, $count) = @_;
    my @parts = parts($raw);
    for my $i (1 .. $#parts) {
        $parts[$i]{delay} = $delay if defined $delay && !defined $parts[$i]{delay};
    }
    my $text = join '', map { $_->{data} } @parts;
    # A HEAD request's answer has no body; everything else is read by its framing.
    my @methods = $text =~ /^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT) /mg;
    $methods[$_] //= 'GET' for 0 .. $count - 1;
    return { packets => \@parts, methods => [@methods[0 .. $count - 1]] };
}

# A request is a string, or an array of strings and {value, delay_before} sent one after another.
sub parts {
    my ($request) = @_;
    my @list = ref $request eq 'ARRAY' ? @$request : ($request);
    my @parts;
    for my $item (@list) {
        push @parts, ref $item eq 'HASH'
            ? { data => $item->{value}, delay => $item->{delay_before} }
            : { data => $item, delay => @parts ? 0.01 : 0 };
    }
    return @parts;
}

sub build {
    my ($parts, $more, $connection) = @_;
    my $text = join '', map { $_->{data} } @$parts;
    # Blank lines and comments may stand before the request line.
    1 while $text =~ s/\A(?:[ \t]*#[^\n]*\n|\s+)//;
    my ($line, $body) = split /\r?\n/, $text, 2;
    my ($method, $uri, $version) = $line =~ /\A(\S+)(?:\s+(.*?))?(?:\s+(HTTP\/\d\.\d))?\s*\z/
        or die "no request line in: $line\n";
    $uri = '/' if !defined $uri || $uri eq '';
    $version ||= 'HTTP/1.1';

    my ($headers, $seen) = header_lines($more);
    my $head = "$method $uri $version\r\n";
    $head .= "Host: localhost\r\n" if !$seen->{host};
    $head .= "Connection: $connection\r\n" if !$seen->{connection};
    $head .= $headers;
    $body = '' if !defined $body;
    my $chunked = defined $seen->{'transfer-encoding'};
    my @body = body_packets($parts, $body, $chunked || $seen->{'content-length'});
    my $length = 0;
    $length += length $_->{data} for @body;
    $head .= "Content-Length: $length\r\n"
        if $length && !$chunked && !$seen->{'content-length'};
    my $first = { data => "$head\r\n", delay => $parts->[0]{delay} };
    if (@body && !$body[0]{delay}) {
        $first->{data} .= shift(@body)->{data};
    }
    return { packets => [$first, @body], method => $method };
}

sub header_lines {
    my ($more) = @_;
    my ($text, %seen) = ('');
    for my $line (split /\n+/, defined $more ? $more : '') {
        next if $line =~ /\A\s*(#|\z)/;
        my ($name, $value) = split /:\s*/, $line, 2;
        $value = '' if !defined $value;
        $seen{ lc $name } = $value;
        $text .= "$name: $value\r\n";
    }
    return $text, \%seen;
}

# The body in the packets it was written in. White space around it belongs to the data file,
# unless the block frames the body itself.
sub body_packets {
    my ($parts, $body, $own_framing) = @_;
    if (@$parts == 1) {
        $body =~ s/\A\s+|\s+\z//g if !$own_framing;
        return length $body ? { data => $body, delay => 0 } : ();
    }
    my @rest = @$parts;
    my $skip = length(join '', map { $_->{data} } @rest) - length $body;
    my @packets;
    for my $part (@rest) {
        my $data = $part->{data};
        my $cut = $skip < length $data ? $skip : length $data;
        $skip -= $cut;
        $data = substr $data, $cut;
        push @packets, { data => $data, delay => $part->{delay} } if length $data;
    }
    $packets[-1]{data} =~ s/\s+\z// if @packets && !$own_framing;
    return @packets;
}

1;
