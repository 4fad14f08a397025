package t::lib::Oidc;

# What an OpenID provider is known by: a key of its own, tokens signed with it, and its endpoints
# as server-level text for nginx on port 1980.

use strict;
use warnings;

use Digest::SHA qw(hmac_sha256);
use File::Temp qw(tempdir);
use JSON::PP;
use MIME::Base64 qw(encode_base64 encode_base64url);

my $ISSUER = 'http://127.0.0.1:1980';
my $DIR = tempdir(CLEANUP => 1);
my $JSON = JSON::PP->new->canonical;

sub run { my ($command) = @_; my $out = `$command`; die "$command failed\n" if $?; return $out }

# A key pair by name; made when it is first asked for.
sub key_file {
    my ($name) = @_;
    my $path = "$DIR/$name.pem";
    run("openssl genrsa -out $path 2048 2>/dev/null") if !-e $path;
    return $path;
}

sub public_key {
    my ($name) = @_;
    return run('openssl rsa -pubout -in ' . key_file($name) . ' 2>/dev/null');
}

sub private_key { my ($name) = @_; return run('cat ' . key_file($name)) }

# The public half of a key as JSON.
sub jwk {
    my ($name) = @_;
    my ($digits) = run('openssl rsa -noout -modulus -in ' . key_file($name)) =~ /=([0-9A-F]+)/;
    return { kty => 'RSA', kid => $name, use => 'sig', alg => 'RS256', e => 'AQAB',
        n => encode_base64url(pack 'H*', $digits) };
}

# A token; `key`, `header` and `secret` (for HS256) say how it is signed, the rest is claims.
sub token {
    my (%claims) = @_;
    my ($key, $header, $secret) = delete @claims{qw(key header secret)};
    $key ||= 'one';
    my $now = time;
    %claims = (iss => $ISSUER, sub => 'ann', aud => 'c', iat => $now, exp => $now + 3600, %claims);
    delete @claims{grep { !defined $claims{$_} } keys %claims};
    my %header = (typ => 'JWT', alg => defined $secret ? 'HS256' : 'RS256', kid => $key,
        %{ $header || {} });
    delete @header{grep { !defined $header{$_} } keys %header};
    my $text = join '.', map { encode_base64url($JSON->encode($_)) } \%header, \%claims;
    return "$text." if $header{alg} eq 'none';
    return "$text." . encode_base64url(hmac_sha256($text, $secret)) if defined $secret;
    open my $out, '>', "$DIR/text" or die "text: $!";
    print {$out} $text;
    close $out;
    my $sign = 'openssl dgst -sha256 -sign ' . key_file($key);
    return "$text." . encode_base64url(run("$sign $DIR/text"));
}

sub bearer { return 'Authorization: Bearer ' . token(@_) }

# Locations of a provider that is well, and of some that are not: /500, /html, /list, /huge, /slow
# and /odd each have their own description.
sub locations {
    my $keys = $JSON->encode({ keys => [jwk('one'), 'no key', { kty => 'RSA', kid => 'empty' }] });
    return <<"NGINX";
    location ~ ^(?<top>/\\w+)?/\\.well-known/openid-configuration\$ {
        content_by_lua_block {
            local cjson = require("cjson")
            local issuer = "$ISSUER"
            local top = issuer .. ngx.var.top
            ngx.log(ngx.WARN, "asked for the description")
            local bad = {
                ["/500"] = function() ngx.status = 500 ngx.print('say "no"\\r\\nX-Evil: 1') end,
                ["/html"] = function() ngx.print("<html>") end,
                ["/list"] = function() ngx.print("[1, 2]") end,
                ["/odd"] = function() ngx.print('{"authorization_endpoint": {"a": 1}}') end,
                ["/none"] = function() ngx.print('{"issuer": "$ISSUER"}') end,
                ["/slow"] = function() ngx.sleep(5) ngx.print("{}") end,
                ["/huge"] = function()
                    local piece = string.rep(" ", 65536)
                    for _ = 1, 64 do
                        if not ngx.print(piece) or not ngx.flush(true) then return end
                    end
                end,
            }
            if bad[ngx.var.top] then
                return bad[ngx.var.top]()
            end
            ngx.print(cjson.encode({
                issuer = issuer, authorization_endpoint = top .. "/authorize",
                token_endpoint = top .. "/token", userinfo_endpoint = top .. "/userinfo",
                introspection_endpoint = top .. "/introspect", jwks_uri = top .. "/jwks",
                end_session_endpoint = ngx.var.top == "/end" and top .. "/bye" or nil,
            }))
        }
    }
    location ~ /jwks\$ {
        content_by_lua_block { ngx.log(ngx.WARN, "asked for the keys") ngx.print('$keys') }
    }
    location ~ /introspect\$ {
        content_by_lua_block {
            ngx.req.read_body()
            local args = ngx.req.get_post_args()
            local say = ngx.req.get_headers()
            ngx.log(ngx.WARN, "introspected: ", args.token, " by ", say.authorization or "nobody",
                    " ", args.client_id or "", " ", args.client_assertion and "assertion" or "",
                    " tenant=", say["x-tenant"] or "none")
            local soon = ngx.time() + 100
            local answers = {
                good = '{"active": true, "sub": "ann", "scope": "read write", "exp": ' .. soon
                       .. ', "roles": []}',
                fresh = '{"active": true, "sub": "ann"}',
                bad = '{"active": false}',
                odd = '{"active": true, "scope": {"read": true}}',
                listed = '{"active": true, "scope": ["read"], "aud": ["a", "c"]}',
                other = '{"active": true, "aud": ["a", "b"]}',
                html = "<html>", list = "[]", null = "null", empty = "",
                quoted = '{"error": "\\\\"no\\\\"\\\\r\\\\nX-Evil: 1"}',
            }
            if args.token == "slow" then
                ngx.sleep(5)
            elseif args.token == "huge" then
                return ngx.print(string.rep("x", 2097152))
            elseif args.token == "quoted" then
                ngx.status = 400
            end
            ngx.print(answers[args.token] or answers.bad)
        }
    }
NGINX
}

1;
