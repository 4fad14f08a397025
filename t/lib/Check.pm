package t::lib::Check;

# What a block says about the answers and the logs, checked with Test::More.

use strict;
use warnings;

use Test::More ();
use Time::HiRes qw(sleep time);

use t::lib::Client;

# How long an awaited log line may take, and how long an unwanted one is given to appear.
my $LOG_SECONDS = 3;
my $QUIET_SECONDS = 0.06;
# The access log is written at least once a second.
my $ACCESS_SECONDS = 1.2;

# The expectation for answer `i`: arrays hold one per answer.
sub nth {
    my ($value, $i) = @_;
    return ref $value eq 'ARRAY' ? $value->[$i] : $value;
}

sub is_text {
    my ($got, $expected, $name) = @_;
    return Test::More::like($got, $expected, $name) if ref $expected eq 'Regexp';
    return Test::More::is($got, $expected, $name) if length($got) + length($expected) < 4000;
    # Long texts: say where they differ instead of printing both.
    my $same = $got eq $expected;
    Test::More::ok($same, $name);
    return $same if $same;
    my $at = 0;
    $at++ while $at < length $got && substr($got, $at, 1) eq substr($expected, $at, 1);
    Test::More::diag(sprintf '%d bytes, expected %d; the first difference is at byte %d: %s',
        length $got, length $expected, $at, substr $got, $at, 80);
    return $same;
}

sub pattern {
    my ($text) = @_;
    return $text if ref $text eq 'Regexp';
    $text =~ s/\s+\z//;
    return qr/$text/sm;
}

sub answer {
    my ($block, $answer, $i, $label) = @_;
    code($block, $answer, $i, $label);
    headers($block, $answer, $i, $label);
    body($block, $answer, $i, $label);
}

sub code {
    my ($block, $answer, $i, $label) = @_;
    if (defined(my $like = nth(scalar $block->error_code_like, $i))) {
        Test::More::like($answer->{status}, pattern($like), "$label - status code like");
        return;
    }
    my $expected = nth(scalar $block->error_code, $i);
    $expected = 200 if !defined $expected;
    $expected =~ s/\A\s+|\s+\z//g;
    # An empty answer is written as an empty code.
    Test::More::is($answer->{status}, $expected, "$label - status code");
}

sub lines {
    my ($text) = @_;
    return grep { /\S/ } split /\n/, defined $text ? $text : '';
}

sub headers {
    my ($block, $answer, $i, $label) = @_;
    for my $line (lines(nth(scalar $block->response_headers, $i))) {
        if ($line =~ /\A\s*!\s*(\S+)/) {
            Test::More::is(t::lib::Client::header($answer, $1), undef, "$label - no header $1");
            next;
        }
        my ($name, $value) = split /:\s*/, $line, 2;
        $value = '' if !defined $value;
        my $got = t::lib::Client::header($answer, $name);
        Test::More::is(defined $got ? $got : '', $value, "$label - header $name");
    }
    for my $line (lines(nth(scalar $block->response_headers_like, $i))) {
        my ($name, $value) = split /:\s*/, $line, 2;
        my $got = t::lib::Client::header($answer, $name);
        Test::More::like(defined $got ? $got : '', qr/^$value$/, "$label - header $name like");
    }
    my $raw = nth(scalar $block->raw_response_headers_like, $i);
    Test::More::like($answer->{head}, pattern($raw), "$label - raw head like") if defined $raw;
    my $not = nth(scalar $block->raw_response_headers_unlike, $i);
    Test::More::unlike($answer->{head}, pattern($not), "$label - raw head unlike")
        if defined $not;
}

sub body {
    my ($block, $answer, $i, $label) = @_;
    my $got = $answer->{body};
    my $expected = nth(scalar $block->response_body, $i);
    is_text($got, $expected, "$label - body") if defined $expected;
    my $like = nth(scalar $block->response_body_like, $i);
    Test::More::like($got, pattern($like), "$label - body like") if defined $like;
    my $unlike = nth(scalar $block->response_body_unlike, $i);
    Test::More::unlike($got, pattern($unlike), "$label - body unlike") if defined $unlike;
}

# The patterns of a log section: lines of text, one regular expression, or an array of both.
sub patterns {
    my ($value) = @_;
    return () if !defined $value;
    return grep { ref || /\S/ } @$value if ref $value eq 'ARRAY';
    return ($value) if ref $value;
    return lines($value);
}

sub matches {
    my ($log, $pattern) = @_;
    return $log =~ $pattern if ref $pattern;
    $pattern =~ s/\A\s+|\s+\z//g;
    return index($log, $pattern) >= 0;
}

# `read` returns what the logs have got since the block began.
sub logs {
    my ($block, $read, $label, $round) = @_;
    wanted(scalar $block->error_log, $read->{error}, "$label - error_log");
    for my $line (lines(scalar $block->error_log_like)) {
        wanted(qr/$line/, $read->{error}, "$label - error_log_like");
    }
    wanted(scalar $block->access_log, $read->{access}, "$label - access_log");
    grep_log($block, $read->{error}, $label, $round) if defined $block->grep_error_log;
    my @unwanted = patterns(scalar $block->no_error_log);
    my @no_access = patterns(scalar $block->no_access_log);
    return if !@unwanted && !@no_access;
    sleep(@no_access ? $ACCESS_SECONDS : $QUIET_SECONDS);
    unwanted(\@unwanted, $read->{error}->(), "$label - no_error_log");
    unwanted(\@no_access, $read->{access}->(), "$label - no_access_log") if @no_access;
}

sub wanted {
    my ($value, $read, $label) = @_;
    my @missing = patterns($value);
    return if !@missing;
    my $deadline = time() + $LOG_SECONDS;
    my $log;
    while (1) {
        $log = $read->();
        my @still = grep { !matches($log, $_) } @missing;
        for my $found (grep { my $p = $_; !grep { $_ eq $p } @still } @missing) {
            Test::More::pass("$label: $found");
        }
        @missing = @still;
        last if !@missing || time() > $deadline;
        sleep 0.02;
    }
    for my $pattern (@missing) {
        Test::More::fail("$label: $pattern");
    }
    Test::More::diag("the log of this block:\n" . clipped($log)) if @missing;
}

sub unwanted {
    my ($patterns, $log, $label) = @_;
    for my $pattern (@$patterns) {
        my @hits = grep { matches($_, $pattern) } split /\n/, $log;
        Test::More::ok(!@hits, "$label: $pattern");
        Test::More::diag(join "\n", @hits > 5 ? @hits[0 .. 4] : @hits) if @hits;
    }
}

sub clipped {
    my ($log) = @_;
    return length $log > 4000 ? '...' . substr($log, -4000) : $log;
}

sub grep_log {
    my ($block, $read, $label, $round) = @_;
    my $pattern = $block->grep_error_log;
    $pattern =~ s/\s+\z// if !ref $pattern;
    $pattern = ref $pattern ? $pattern : qr/\Q$pattern\E/;
    my $expected = $block->grep_error_log_out;
    $expected = nth($expected, $round);
    $expected = '' if !defined $expected;
    my $got = '';
    my $deadline = time() + 1;
    while (1) {
        my $log = $read->();
        my @hits;
        push @hits, $& while $log =~ /$pattern/g;
        $got = join '', map { "$_\n" } @hits;
        last if ref $expected ? $got =~ $expected : $got eq $expected;
        last if time() > $deadline;
        sleep 0.02;
    }
    is_text($got, $expected, "$label - grep_error_log_out");
}

1;
