package t::lib::Gateway;

# The moongate under test: its prefix, its configuration files, its start and end.

use strict;
use warnings;

use Cwd qw(cwd);
use File::Basename qw(dirname);
use File::Path qw(make_path);
use Time::HiRes qw(sleep time);

use t::lib::Client;
use t::lib::Process;

my $READY_SECONDS = 10;
my $HOME = cwd();

my $DATA_PLANE = <<'YAML';
deployment:
  role: data_plane
  role_data_plane:
    config_provider: %s
YAML

sub new {
    my ($class, $prefix) = @_;
    make_path(map { "$prefix/$_" } qw(conf logs plugins html));
    my $self = bless { prefix => $prefix }, $class;
    $self->copy_lua($ENV{MOONGATE_LUA_TREE}) if $ENV{MOONGATE_LUA_TREE};
    return $self;
}

# With MOONGATE_LUA_TREE=. the Lua files of that tree are used instead of those in the binary.
sub copy_lua {
    my ($self, $tree) = @_;
    for my $name (grep { -d "$tree/$_" } qw(lua plugins)) {
        system('cp', '-rT', "$tree/$name", "$self->{prefix}/$name") == 0
            or die "cannot copy $tree/$name\n";
    }
}

sub binary {
    my @found = grep { defined $_ && -x $_ } (
        $ENV{MOONGATE_BIN},
        $ENV{CARGO_TARGET_DIR} ? "$ENV{CARGO_TARGET_DIR}/release/moongate" : undef,
        "$HOME/target/release/moongate",
    );
    return $found[0] || die "no moongate: build it (cargo build --release) or set MOONGATE_BIN\n";
}

# Writes a file of the prefix as a whole, under its final name at once.
sub write_file {
    my ($self, $name, $text) = @_;
    my $path = "$self->{prefix}/$name";
    make_path(dirname($path));
    open my $out, '>', "$path.new" or die "$path.new: $!";
    print {$out} $text;
    close $out or die "$path: $!";
    rename "$path.new", $path or die "$path: $!";
}

# The text of config.yaml: what the block says, and what the harness must be able to rely on.
sub config_text {
    my (%arg) = @_;
    my $text = $arg{yaml};
    $text = "apisix:\n    node_listen: 1984\n    enable_admin: false\n" if !defined $text;
    $text .= "\n" if $text !~ /\n\z/;
    if ($text !~ /^deployment:/m) {
        $text = sprintf($DATA_PLANE, $arg{provider}) . $text;
    }
    $text .= $arg{extra} if defined $arg{extra};
    $text .= "\n" if $text !~ /\n\z/;
    $text = with_keys($text, 'apisix', { node_listen => 1984 });
    my %keys = (error_log_level => $arg{log_level}, worker_processes => $arg{workers});
    if (defined $arg{snippet}) {
        # The first line says how far all are indented.
        my $snippet = "# config\n$arg{snippet}" =~ s/^/            /mgr;
        $snippet =~ s/\s+\z//;
        $keys{http_server_configuration_snippet} = "|\n$snippet";
    }
    return with_keys($text, 'nginx_config', \%keys);
}

# Adds keys below a top-level mapping unless the text sets them itself.
sub with_keys {
    my ($text, $top, $keys) = @_;
    my @missing = grep { $text !~ /^\s+\Q$_\E:/m } sort keys %$keys;
    return $text if !@missing;
    if ($text =~ /^\Q$top\E:[ \t]*\n([ \t]+)/m) {
        my $lines = join '', map { "$1$_: $keys->{$_}\n" } @missing;
        $text =~ s/^(\Q$top\E:[ \t]*\n)/$1$lines/m;
        return $text;
    }
    return $text . "$top:\n" . join '', map { "  $_: $keys->{$_}\n" } @missing;
}

sub status_port {
    my ($config) = @_;
    return $config =~ /^\s+status:[ \t]*\n(?:[ \t]+ip:.*\n)?[ \t]+port:[ \t]*(\d+)/m ? $1 : 7085;
}

# Starts the gateway and waits until it is ready. Returns undef, or why it is not.
sub start {
    my ($self, $config) = @_;
    my $port = status_port($config);
    $self->{pid} = t::lib::Process::start(
        command => [binary(), 'start', '-p', $self->{prefix}],
        dir     => $self->{prefix},
        log     => "$self->{prefix}/logs/stderr.log",
        env     => { TEST_NGINX_HTML_DIR => "$self->{prefix}/html" },
    );
    my $answered;
    my $deadline = time() + $READY_SECONDS;
    while (time() < $deadline) {
        if (!t::lib::Process::alive($self->{pid})) {
            my $status = t::lib::Process::status($self->{pid});
            return sprintf 'ended at start with exit code %d, signal %d', $status >> 8, $status & 127;
        }
        my $status = ready_status($port);
        return undef if $status == 200;
        # A gateway whose first apisix.yaml is refused stays "not ready" and still answers.
        $answered ||= time() if $status;
        return undef if $answered && time() - $answered > 1;
        sleep 0.01;
    }
    return "not ready after $READY_SECONDS s";
}

sub ready_status {
    my ($port) = @_;
    my ($answers) = t::lib::Client::exchange(
        port    => $port,
        timeout => 2,
        methods => ['GET'],
        packets => [
            { data => "GET /status/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n" },
        ],
    );
    return @$answers ? $answers->[0]{status} || 0 : 0;
}

sub running {
    my ($self) = @_;
    return t::lib::Process::alive($self->{pid});
}

sub stop {
    my ($self) = @_;
    t::lib::Process::stop($self->{pid}, 'INT') if $self->{pid};
    $self->{pid} = undef;
}

1;
