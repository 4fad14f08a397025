package t::lib::Replayed;

# Requests as anti-replay wants them: signed by RFC 9421, with a number.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256_base64);

sub padded { my ($text) = @_; return $text . '=' x (-length($text) % 4); }

# Header lines of a signed `GET /hello`.
sub headers {
    my (%arg) = @_;
    my $secret = $arg{secret} || 'a secret of thirty-two bytes, so';
    my $extra = defined $arg{field} ? ' "x-nonce"' : '';
    my $params = qq[("\@method" "\@authority" "\@path" "\@query"$extra);created=]
        . (time() + ($arg{offset} || 0)) . sprintf ';keyid="%s"', $arg{key} || 'k1';
    $params .= ";nonce=\"$arg{nonce}\"" if defined $arg{nonce};
    my $base = "\"\@method\": GET\n\"\@authority\": localhost\n\"\@path\": /hello\n\"\@query\": ?\n";
    $base .= "\"x-nonce\": $arg{field}\n" if defined $arg{field};
    my $signature = padded(hmac_sha256_base64("$base\"\@signature-params\": $params", $secret));
    my $more = defined $arg{field} ? "\nX-Nonce: $arg{field}" : '';
    return "Signature-Input: sig1=$params\nSignature: sig1=:$signature:$more";
}

# The same as options of curl.
sub curl_options {
    my (%arg) = @_;
    return join ' ', '-H "Host: localhost"', map { "-H '$_'" } split /\n/, headers(%arg);
}

1;
