package t::lib::Redis;

# Redis servers for test blocks. A section `redis` names what has to run, a line each; what
# runs already goes on, with its data, until the end of the file.
#
#   6379                          a server, reachable at that port
#   6380 requirepass secret       one with options of redis.conf
#   6381 replicaof 127.0.0.1 6379
#   sentinel 26379 mymaster 6379  a sentinel that watches the server at port 6379
#   cluster 7001 7002 7003        a cluster of these masters; with `tls` behind them one that
#                                 speaks TLS only
#   6390 tls                      one that speaks TLS only, as `localhost`, by a certificate that
#                                 ca.pem in the directory of all servers has signed
#   old 6391 6379                 the server at 6379 as if it were older than version 7
#   lossy 6392 6379               the same losing every other answer to SET and EVAL

use strict;
use warnings;

use Cwd qw(cwd);
use File::Path qw(make_path);

use t::lib::Process;

my %PID;

sub ensure {
    my ($dir, $text) = @_;
    for my $line (grep { /\S/ } split /\n/, $text) {
        my ($word, @rest) = split ' ', $line;
        if ($word eq 'cluster') { cluster($dir, @rest) }
        elsif ($word eq 'sentinel') { sentinel($dir, @rest) }
        elsif ($word =~ /\A(?:old|lossy)\z/) { front($dir, $word, @rest) }
        elsif ("@rest" eq 'tls') { tls($dir, $word) }
        else { server($dir, $word, @rest) }
    }
}

sub running {
    my ($port) = @_;
    return $PID{$port} && t::lib::Process::alive($PID{$port});
}

# Several options are separated by semicolons.
sub server {
    my ($dir, $port, @words) = @_;
    return if running($port);
    make_path("$dir/$port");
    my $options = join ' ', @words;
    my @options = map { split ' ', $_ } map { "--$_" } grep { length } split /\s*;\s*/, $options;
    $PID{$port} = t::lib::Process::start(
        command => ['redis-server', '--port', $port, '--bind', '127.0.0.1', '--dir', "$dir/$port",
            '--save', '', '--appendonly', 'no', @options],
        log => "$dir/$port/log",
    );
    wait_for($port, "$dir/$port/log");
}

sub front {
    my ($dir, $mode, $port, $target) = @_;
    return if running($port);
    make_path("$dir/$port");
    $PID{$port} = t::lib::Process::start(
        command => ['python3', cwd() . '/t/lib/redis_front.py', $mode, $port, $target],
        log     => "$dir/$port/log",
    );
    wait_for($port, "$dir/$port/log");
}

sub tls {
    my ($dir, $port) = @_;
    return if running($port);
    make_path("$dir/$port");
    server($dir, $port, tls_options($dir, $port));
}

sub tls_options {
    my ($dir, $port) = @_;
    certify($dir) if !-e "$dir/node.pem";
    return "tls-port $port ; port 0 ; tls-auth-clients no ; tls-cert-file $dir/node.pem"
        . " ; tls-key-file $dir/node.key ; tls-ca-cert-file $dir/ca.pem";
}

# Makes an authority, ca.pem, and a certificate for `localhost`, node.pem.
sub certify {
    my ($dir) = @_;
    my $new = 'openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes';
    open my $out, '>', "$dir/node.ext" or die "node.ext: $!";
    print {$out} "subjectAltName=DNS:localhost\n";
    close $out;
    my $made = `cd $dir && exec 2>&1 && $new -x509 -days 2 -subj "/CN=test ca" -keyout ca.key \\
        -out ca.pem && $new -subj /CN=localhost -keyout node.key -out node.csr && \\
        openssl x509 -req -in node.csr -CA ca.pem -CAkey ca.key -days 2 -CAcreateserial \\
        -extfile node.ext -out node.pem`;
    die "no certificate: $made\n" if $?;
}

sub sentinel {
    my ($dir, $port, $name, $master) = @_;
    return if running($port);
    make_path("$dir/$port");
    open my $out, '>', "$dir/$port/sentinel.conf" or die "sentinel.conf: $!";
    print {$out} "port $port\nbind 127.0.0.1\nsentinel monitor $name 127.0.0.1 $master 1\n",
        "sentinel down-after-milliseconds $name 1000\nsentinel failover-timeout $name 3000\n";
    close $out;
    $PID{$port} = t::lib::Process::start(
        command => ['redis-server', "$dir/$port/sentinel.conf", '--sentinel'],
        log     => "$dir/$port/log",
    );
    wait_for($port, "$dir/$port/log");
}

sub cluster {
    my ($dir, @ports) = @_;
    return if running($ports[0]);
    my $tls = $ports[-1] eq 'tls' && pop @ports;
    make_path($dir);
    for my $port (@ports) {
        my $options = $tls ? ' ; tls-cluster yes ; ' . tls_options($dir, $port) : '';
        server($dir, $port, "cluster-enabled yes$options");
    }
    my $client = $tls ? 'redis-cli --tls --insecure' : 'redis-cli';
    my $nodes = join ' ', map { "127.0.0.1:$_" } @ports;
    my $made = `$client --cluster create $nodes --cluster-yes 2>&1`;
    die "no cluster: $made\n" if $?;
    my $up = t::lib::Process::wait_until(15, sub {
        return !grep { `$client -p $_ cluster info 2>&1` !~ /cluster_state:ok/ } @ports;
    });
    die "the cluster did not come up\n" if !$up;
}

sub wait_for {
    my ($port, $log) = @_;
    my $up = t::lib::Process::wait_until(5, sub {
        return -1 if !t::lib::Process::alive($PID{$port});
        return t::lib::Process::port_open($port);
    });
    return if $up == 1;
    open my $in, '<', $log;
    die "Redis at port $port did not start:\n", $in ? <$in> : '';
}

1;
