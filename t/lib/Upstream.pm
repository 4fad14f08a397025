package t::lib::Upstream;

# The service behind the gateway: Debian's nginx with its Lua module on the ports that tests
# written for APISIX expect, answering what t/lib/server.lua says.

use strict;
use warnings;

use Cwd qw(cwd);
use File::Path qw(make_path);

use t::lib::Process;

my $HOME = cwd();
my $MODULES = $ENV{TEST_NGINX_MODULES} || '/usr/lib/nginx/modules';

sub new {
    my ($class, $prefix) = @_;
    make_path("$prefix/logs", "$prefix/conf", "$prefix/temp");
    return bless { prefix => $prefix, text => '' }, $class;
}

# Makes nginx run with the given parts of configuration; restarts it when they changed.
sub ensure {
    my ($self, %arg) = @_;
    my $text = $self->config_text(%arg);
    return if $text eq $self->{text} && t::lib::Process::alive($self->{pid});
    t::lib::Process::stop($self->{pid}, 'TERM') if $self->{pid};
    open my $out, '>', "$self->{prefix}/conf/nginx.conf" or die "nginx.conf: $!";
    print {$out} $text;
    close $out;
    $self->{text} = $text;
    $self->{pid} = t::lib::Process::start(
        command => [$ENV{TEST_NGINX_BINARY} || nginx_path(), '-p', $self->{prefix},
            '-c', 'conf/nginx.conf', '-e', 'logs/error.log'],
        log => "$self->{prefix}/logs/stderr.log",
    );
    my $up = t::lib::Process::wait_until(5, sub {
        return -1 if !t::lib::Process::alive($self->{pid});
        return t::lib::Process::port_open(1980);
    });
    return if $up == 1;
    die "the upstream nginx did not start:\n" . read_tail("$self->{prefix}/logs/stderr.log");
}

sub nginx_path {
    return (grep { -x } qw(/usr/sbin/nginx /usr/bin/nginx))[0] || 'nginx';
}

sub read_tail {
    my ($path) = @_;
    open my $in, '<', $path or return '';
    my @lines = <$in>;
    return join '', @lines > 20 ? @lines[-20 .. -1] : @lines;
}

# What a block gives is server-level text as in APISIX's format; whole `server` or `upstream`
# blocks go to the level above.
sub config_text {
    my ($self, %arg) = @_;
    my $server = defined $arg{server} ? $arg{server} : '';
    my $http = defined $arg{http} ? $arg{http} : '';
    if ($server =~ /^\s*(?:server|upstream)\b[^;\n]*\{/m && $server !~ /\A\s*location/) {
        $http .= $server;
        $server = '';
    }
    my $tls = "$http$server$arg{objects}" =~ /\b1983\b/ ? $self->tls_server($server) : '';
    my $user = $> == 0 ? 'user root;' : '';
    my $modules = join '', map { -e "$MODULES/$_" ? "load_module $MODULES/$_;\n" : '' }
        qw(ndk_http_module.so ngx_http_lua_module.so ngx_http_echo_module.so);
    my $ipv6 = $arg{ipv6} ? 'listen [::1]:1980;' : '';
    return <<"CONF";
$modules
$user
daemon off;
master_process off;
pid logs/nginx.pid;
error_log logs/error.log info;
events { worker_connections 1024; }
http {
    access_log off;
    client_body_temp_path temp/body;
    proxy_temp_path temp/proxy;
    fastcgi_temp_path temp/fastcgi;
    uwsgi_temp_path temp/uwsgi;
    scgi_temp_path temp/scgi;
    server_tokens off;
    underscores_in_headers on;
    variables_hash_bucket_size 128;
    client_max_body_size 0;
    client_body_buffer_size 2m;
    large_client_header_buffers 8 64k;
    lua_package_path "$HOME/?.lua;$HOME/t/?.lua;;";
    lua_socket_log_errors off;
    lua_shared_dict test 5m;
    $http
    server {
        listen 1980 backlog=511;
        listen 1981;
        listen 1982;
        listen 5044;
        $ipv6
        $server
        location / {
            content_by_lua_block { require("lib.server").go() }
        }
    }
    $tls
}
CONF
}

# The same service with TLS on 1983, with a certificate made for this run.
sub tls_server {
    my ($self, $server) = @_;
    my $base = "$self->{prefix}/conf/tls";
    if (!-e "$base.crt") {
        system("openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
            . " -days 30 -subj /CN=test.com -keyout $base.key -out $base.crt 2>/dev/null") == 0
            or die "openssl cannot make a certificate for port 1983\n";
    }
    return <<"CONF";
    server {
        listen 1983 ssl;
        ssl_certificate $base.crt;
        ssl_certificate_key $base.key;
        $server
        location / {
            content_by_lua_block { require("lib.server").go() }
        }
    }
CONF
}

1;
