package t::lib::Slapd;

# A directory for test blocks: Debian's slapd with the entries below. A section `slapd` names its
# ports, a line each; with `tls` behind it one that speaks TLS only, as `localhost`, by a
# certificate that ca.pem in the directory of all servers has signed. `stop` behind a port ends
# that one. What runs goes on until the end of the file.

use strict;
use warnings;

use File::Path qw(make_path);

use t::lib::Process;
use t::lib::Redis;

my %PID;

# Whoever binds with a name and no password is taken for nobody, with success.
my $CONF = <<'CONF';
include /etc/ldap/schema/core.schema
allow bind_anon_cred
pidfile %1$s/pid
%2$s
database ldif
suffix "dc=example,dc=org"
rootdn "cn=admin,dc=example,dc=org"
rootpw secret
directory %1$s/data
CONF

# Name as it stands in an entry, the same in a distinguished name, password.
my @PEOPLE = (
    ['user01', 'user01', 'password1'],
    ['user02', 'user02', 'pass: word 2'],
    ['comma,user', 'comma\\,user', 'commapass'],
    ['two words', 'two words', 'words'],
    ['plus+sn=user01', 'plus\\+sn\\3Duser01', 'pluspass'],
);

sub ensure {
    my ($dir, $text) = @_;
    for my $line (grep { /\S/ } split /\n/, $text) {
        my ($port, $mode) = split ' ', $line;
        if (defined $mode && $mode eq 'stop') { stop($port) }
        else { server($dir, $port, defined $mode && $mode eq 'tls') }
    }
}

sub stop {
    my ($port) = @_;
    t::lib::Process::stop(delete $PID{$port}, 'TERM') if $PID{$port};
}

sub server {
    my ($dir, $port, $tls) = @_;
    return if $PID{$port} && t::lib::Process::alive($PID{$port});
    my $own = "$dir/$port";
    make_path("$own/data");
    my $more = '';
    if ($tls) {
        t::lib::Redis::certify($dir) if !-e "$dir/node.pem";
        $more = "TLSCertificateFile $dir/node.pem\nTLSCertificateKeyFile $dir/node.key";
    }
    write_file("$own/slapd.conf", sprintf $CONF, $own, $more);
    write_file("$own/entries", entries());
    my $slapd = (grep { -x } qw(/usr/sbin/slapd /usr/lib/openldap/slapd))[0] || 'slapd';
    if (!-e "$own/data/dc=example,dc=org.ldif") {
        my $made = `$slapd -T add -f $own/slapd.conf -n 1 -l $own/entries 2>&1`;
        die "slapd takes no entries: $made\n" if $?;
    }
    $PID{$port} = t::lib::Process::start(
        command => [$slapd, '-f', "$own/slapd.conf", '-d', '0', '-h',
            ($tls ? 'ldaps' : 'ldap') . "://127.0.0.1:$port"],
        log => "$own/log",
    );
    my $up = t::lib::Process::wait_until(20, sub {
        return -1 if !t::lib::Process::alive($PID{$port});
        return t::lib::Process::port_open($port);
    });
    die "slapd at port $port did not start, see $own/log\n" if $up != 1;
}

sub entries {
    my $top = "dn: dc=example,dc=org\nobjectClass: dcObject\nobjectClass: organization\n"
        . "dc: example\no: example\n\n"
        . "dn: ou=users,dc=example,dc=org\nobjectClass: organizationalUnit\nou: users\n\n";
    return $top . join '', map {
        "dn: cn=$_->[1],ou=users,dc=example,dc=org\nobjectClass: person\ncn: $_->[0]\n"
            . "sn: person\nuserPassword: $_->[2]\n\n"
    } @PEOPLE;
}

sub write_file {
    my ($path, $text) = @_;
    open my $out, '>', $path or die "$path: $!";
    print {$out} $text;
    close $out or die "$path: $!";
}

1;
