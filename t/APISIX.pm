package t::APISIX;

# Runs test files in APISIX's data format (a dialect of Test::Nginx's) against moongate.
#
#   prove t/plugins/key-auth.t              one file (.proverc gives the include paths)
#   MOONGATE_BIN=/path/moongate prove ...   another binary than target/release/moongate
#   MOONGATE_LUA_TREE=. prove ...           the tree's lua/ and plugins/ instead of the embedded
#   TEST_KEEP=1 prove ...                   leave t/servroot/<pid> for a look at the logs
#
# Each block gets a fresh moongate on 127.0.0.1:1984 with its own apisix.yaml. A block that brings
# no configuration of its own goes on with the process, and the state, of the block before it.
# A section that needs a part of nginx or APISIX that moongate does not have skips its block, and
# the blocks that build on it, with the reason.

use strict;
use warnings;

use Test::Base -base;
use Test::More ();

use Cwd qw(cwd);
use File::Path qw(make_path remove_tree);
use Time::HiRes qw(sleep time);

use t::lib::Check;
use t::lib::Client;
use t::lib::Gateway;
use t::lib::Process;
use t::lib::Redis;
use t::lib::Request;
use t::lib::Slapd;
use t::lib::Upstream;

our @EXPORT = qw(
    run_tests repeat_each no_long_string no_shuffle no_root_location log_level
    worker_connections workers master_on master_process_enabled timeout
    add_block_preprocessor add_response_body_check add_cleanup_handler
    server_root html_dir env_to_nginx check_accum_error_log
);

my $GATEWAY_PORT = 1984;
my $TIMEOUT_SECONDS = 5;
my $ROOT = cwd() . "/t/servroot/$$";

my $OWNER = $$;
my $Repeat = 1;
my $Log_level = 'info';
my $Workers = 1;
my (@Preprocessors, @Body_checks, @Cleanups);
my ($Gateway, $Upstream, $Config, $Has_objects, $Broken_by);

# Sections of parts that are not there, with what they need.
my @NEEDS = (
    [qr/\Astream_tls_request\z/, 'the stream proxy'],
    [qr/\A(extra_)?(init_by_lua|init_worker_by_lua)(_block|_start)?\z/, 'hooks into APISIX itself'],
    [qr/\A(main_config|lua_deps_path|custom_trusted_cert)\z/, 'nginx directives in the gateway'],
    [qr/\A(extra_)?stream_/, 'the stream proxy'],
    [qr/\A(http2|http3|curl|sslhandshake)\z/, 'a client other than HTTP/1'],
    [qr/\A(debug_config|ext_plugin_cmd|skip_nginx)\z/, 'a feature of APISIX that is not there'],
);

$ENV{TEST_NGINX_SERVROOT} = "$ROOT/gateway";
$ENV{TEST_NGINX_HTML_DIR} ||= "$ROOT/gateway/html";

# A file's plan counts checks as another harness makes them: only the end of the file counts here.
{
    my $plan = \&Test::Builder::plan;
    no warnings 'redefine';
    *Test::Builder::plan = sub {
        my ($self, $kind) = @_;
        @_ = ($self, 'no_plan') if defined $kind && $kind eq 'tests';
        goto &$plan;
    };
}

sub repeat_each(;$) { $Repeat = $_[0] if @_; return $Repeat }
sub log_level($) { $Log_level = $_[0] }
sub workers($) { $Workers = $_[0] }
sub timeout($) { $TIMEOUT_SECONDS = $_[0] }
# A file of the tree that is tested, empty when there is none; test files call it by full name.
sub read_file($) {
    my ($path) = @_;
    return read_from($path, 0);
}

sub server_root() { return "$ROOT/gateway" }
sub html_dir() { return "$ROOT/gateway/html" }
sub add_block_preprocessor(&) { push @Preprocessors, $_[0] }
sub add_response_body_check(&) { push @Body_checks, $_[0] }
sub add_cleanup_handler(&) { push @Cleanups, $_[0] }
# These shape Test::Nginx's own nginx; here they have nothing to do.
sub no_long_string() { }
sub no_shuffle() { }
sub no_root_location() { }
sub worker_connections($) { }
sub master_on() { }
sub master_process_enabled(;$) { }
sub env_to_nginx(@) { }
sub check_accum_error_log() { }

sub run_tests() {
    my $network = t::lib::Process::isolate_network();
    Test::More::diag('no network of its own: waited for the lock') if $network eq 'locked';
    t::lib::Gateway::binary();
    make_path($ROOT);
    $Gateway = t::lib::Gateway->new("$ROOT/gateway");
    $Upstream = t::lib::Upstream->new("$ROOT/upstream");
    for my $block (blocks()) {
        $_->($block) for @Preprocessors;
        my $name = $block->name;
        my $reason = skip_reason($block);
        if (defined $reason) {
            $Broken_by = $name;
            SKIP: { Test::More::skip("$name - $reason", 1); }
            next;
        }
        undef $Broken_by if own_objects($block);
        run_block($block, $name);
    }
}

sub own_objects {
    my ($block) = @_;
    return defined $block->apisix_yaml || defined $block->apisix_json;
}

sub skip_reason {
    my ($block) = @_;
    for my $section (sort grep { !/\A_/ } keys %$block) {
        my $value = $block->$section;
        next if !defined $value || $value eq '';
        for my $need (@NEEDS) {
            return "section `$section` needs $need->[1]" if $section =~ $need->[0];
        }
    }
    my $yaml = $block->yaml_config;
    return 'needs etcd' if defined $yaml && $yaml =~ /config_provider:\s*etcd/;
    return "builds on the skipped block `$Broken_by`" if defined $Broken_by && !own_objects($block);
    return if !defined $block->skip_eval;
    my ($count, $condition) = $block->skip_eval =~ /\A\s*(\d+)\s*:\s*(.*)/s or return;
    my $skip = eval $condition;
    return $skip ? 'skip_eval' : undef;
}

sub run_block {
    my ($block, $name) = @_;
    # The log is written by a thread of its own: lines of the block before may be on their way.
    select undef, undef, undef, 0.05;
    my $mark = log_sizes();
    my $failure = eval { prepare($block) };
    if ($@) {
        Test::More::fail("$name - set up");
        Test::More::diag($@);
        return;
    }
    my $read = log_readers($mark);
    if (defined $block->must_die) {
        Test::More::ok(defined $failure && $failure =~ /exit code [1-9]/, "$name - must die");
        $Gateway->stop();
        default_log_checks($block) if defined $block->error_log;
        t::lib::Check::logs($block, $read, $name, 0);
        return;
    }
    if (defined $failure) {
        Test::More::fail("$name - moongate starts: $failure");
        Test::More::diag(t::lib::Check::clipped($read->{error}->()));
        $Gateway->stop();
        return;
    }
    default_log_checks($block);
    for my $round (0 .. $Repeat - 1) {
        send_and_check($block, $name, $round);
        sleep $block->wait if defined $block->wait;
        t::lib::Check::logs($block, $read, $name, $round);
    }
    Test::More::ok($Gateway->running(), "$name - moongate still runs") if !$Gateway->running();
}

# Without a word about the error log, nothing may be logged there as an error.
sub default_log_checks {
    my ($block) = @_;
    return if grep { defined $block->$_ }
        qw(error_log no_error_log grep_error_log ignore_error_log error_log_like);
    $block->set_value(no_error_log => '[error]');
}

# Brings upstream and gateway to what the block asks for. Returns why moongate did not start.
sub prepare {
    my ($block) = @_;
    t::lib::Redis::ensure("$ROOT/redis", scalar $block->redis) if defined $block->redis;
    t::lib::Slapd::ensure("$ROOT/slapd", scalar $block->slapd) if defined $block->slapd;
    my @objects = map { with_env(scalar $_) } grep { defined }
        scalar $block->apisix_yaml, scalar $block->apisix_json;
    $Upstream->ensure(
        server  => with_env(scalar $block->upstream_server_config),
        http    => with_env(scalar $block->http_config),
        objects => join('', @objects, grep { defined } scalar $block->request),
        ipv6    => defined $block->listen_ipv6,
    );
    my @own = grep { defined $block->$_ } qw(apisix_yaml apisix_json yaml_config
        config extra_yaml_config user_files log_level workers must_die);
    return undef if !@own && $Gateway->running();

    $Gateway->stop();
    write_objects($block);
    write_user_files(with_env(scalar $block->user_files));
    my $level = $block->log_level;
    my $count = $block->workers;
    $Config = t::lib::Gateway::config_text(
        yaml      => with_env(scalar $block->yaml_config),
        extra     => with_env(scalar $block->extra_yaml_config),
        provider  => defined $block->apisix_json ? 'json' : 'yaml',
        log_level => defined $level ? $level =~ s/\s+//gr : $Log_level,
        workers   => defined $count ? $count =~ s/\s+//gr : $Workers,
        # What Test::Nginx puts into nginx's server.
        snippet   => with_env(scalar $block->config),
    );
    $Gateway->write_file('conf/config.yaml', $Config);
    return $Gateway->start($Config);
}

sub write_objects {
    my ($block) = @_;
    my ($yaml, $json) = (scalar $block->apisix_yaml, scalar $block->apisix_json);
    $Gateway->write_file('conf/apisix.yaml', with_env($yaml)) if defined $yaml;
    $Gateway->write_file('conf/apisix.json', with_env($json)) if defined $json;
    $Gateway->write_file('conf/apisix.yaml', "routes: []\n#END\n")
        if !$Has_objects && !defined $yaml;
    $Has_objects = 1;
}

# `>>> name` starts a file; names are relative to the html directory.
sub write_user_files {
    my ($text) = @_;
    return if !defined $text || ref $text;
    my @parts = split /^>>>[ \t]*(\S+).*\n/m, $text;
    shift @parts;
    while (my ($name, $content) = splice @parts, 0, 2) {
        $Gateway->write_file("html/$name", defined $content ? $content : '');
    }
}

# Puts $TEST_NGINX_* from the environment into a text.
sub with_env {
    my ($text) = @_;
    return $text if !defined $text || ref $text;
    $text =~ s/\$\{?(TEST_NGINX_\w+)\}?/defined $ENV{$1} ? $ENV{$1} : "\$$1"/ge;
    return $text;
}

sub send_and_check {
    my ($block, $name, $round) = @_;
    return run_command($block, $name) if defined $block->exec;
    my $request = t::lib::Request::of_block($block) or return;
    my $timeout = $block->timeout;
    my ($answers, $error) = t::lib::Client::exchange(
        port     => $GATEWAY_PORT,
        timeout  => defined $timeout ? seconds($timeout) : $TIMEOUT_SECONDS,
        packets  => $request->{packets},
        methods  => $request->{methods},
        shutdown => defined $block->shutdown,
    );
    return if defined $block->abort || defined $block->ignore_response;
    check_answers($block, $name, $answers, $error, scalar @{ $request->{methods} });
}

sub seconds {
    my ($text) = @_;
    return $1 / 1000 if $text =~ /([\d.]+)\s*ms/;
    return $text =~ /([\d.]+)/ ? $1 : $TIMEOUT_SECONDS;
}

sub check_answers {
    my ($block, $name, $answers, $error, $count) = @_;
    for my $i (0 .. $count - 1) {
        my $label = $count > 1 ? "$name - answer $i" : $name;
        my $answer = $answers->[$i];
        if (!$answer) {
            my $code = t::lib::Check::nth(scalar $block->error_code, $i);
            # An empty `error_code` says that the connection ends without an answer.
            my $expected = defined $code && $code =~ /\A\s*\z/ && ($error || '') ne 'timeout';
            Test::More::ok($expected, "$label - an answer");
            Test::More::diag("no answer: $error") if !$expected;
            return;
        }
        t::lib::Check::answer($block, $answer, $i, $label);
        $_->($block, $answer->{body}, $i, 0) for @Body_checks;
    }
}

# A shell command in place of a request; what it prints is the body.
sub run_command {
    my ($block, $name) = @_;
    my $command = with_env(scalar $block->exec);
    my $input = $block->stdin;
    open my $out, '>', "$ROOT/stdin" or die "stdin: $!";
    print {$out} $input if defined $input;
    close $out;
    my $seconds = defined $block->timeout ? seconds($block->timeout) : $TIMEOUT_SECONDS;
    open my $script, '>', "$ROOT/exec.sh" or die "exec.sh: $!";
    print {$script} $command;
    close $script;
    my $output = `timeout $seconds sh $ROOT/exec.sh < $ROOT/stdin 2>$ROOT/stderr`;
    if ($?) {
        open my $err, '<', "$ROOT/stderr";
        $output = "stdout: $output" . 'stderr: ' . join '', <$err>;
    }
    my $answer = { status => 200, head => '', headers => [], body => $output };
    t::lib::Check::answer($block, $answer, 0, $name);
}

sub log_files {
    return {
        error => ["$ROOT/gateway/logs/error.log", "$ROOT/gateway/logs/stderr.log",
            "$ROOT/upstream/logs/error.log"],
        access => ["$ROOT/gateway/logs/access.log"],
    };
}

sub log_sizes {
    my $files = log_files();
    return { map { $_ => -s $_ || 0 } map { @$_ } values %$files };
}

# Functions that return what the logs have got since `mark`.
sub log_readers {
    my ($mark) = @_;
    my $files = log_files();
    my %readers;
    for my $kind (keys %$files) {
        my $paths = $files->{$kind};
        $readers{$kind} = sub { join '', map { read_from($_, $mark->{$_}) } @$paths };
    }
    return \%readers;
}

sub read_from {
    my ($path, $offset) = @_;
    open my $in, '<:raw', $path or return '';
    seek $in, $offset, 0 if $offset <= -s $in;
    local $/;
    my $text = <$in>;
    return defined $text ? $text : '';
}

sub stop_everything {
    return if $$ != $OWNER;
    t::lib::Process::stop_all();
    $_->() for splice @Cleanups;
    remove_tree($ROOT) if !$ENV{TEST_KEEP} && -d $ROOT;
}

$SIG{INT} = $SIG{TERM} = $SIG{HUP} = sub { exit 130 };

END {
    my $status = $?;
    stop_everything();
    $? = $status;
}

1;
