//! The only place where an error becomes a response.

use crate::{
    error::{Error, Kind, Side},
    exchange::{Body, Exchange, Origin},
    http1,
};

/// The body APISIX sends where no route matches; clients' tooling looks for it.
const NO_ROUTE: &str = "{\"error_msg\":\"404 Route Not Found\"}\n";

/// What plugins say of any signature that is not right: nothing of which one or why.
const TAMPERED: &str = "{\"message\":\"client request can't be validated\"}\n";

/// The status a client sees for `error`.
#[must_use]
pub fn status(error: &Error) -> u16 {
    match error.kind() {
        Kind::BadRequest(_) => 400,
        Kind::BadHead { status, .. } => *status,
        Kind::HeadTooLarge { .. } => 431,
        Kind::BodyTooLarge { .. } => 413,
        Kind::BodyTampered { status } => *status,
        Kind::ClientTimeout(_) => 408,
        Kind::ClientGone => 499,
        Kind::NoRoute => 404,
        Kind::MissingReference { kind: "service", .. } => 404,
        Kind::MissingReference { kind: "upstream", .. } | Kind::NoNode => 502,
        Kind::MissingReference { .. }
        | Kind::NoUpstream
        | Kind::Discovery(_)
        | Kind::Discovering
        | Kind::PluginUnavailable
        | Kind::UpstreamBusy { .. }
        | Kind::Limit(_)
        | Kind::Unsupported(_) => 503,
        Kind::BodyFile | Kind::Resolve { .. } | Kind::Plugin => 500,
        Kind::Connect { .. } | Kind::UpstreamClosed { .. } | Kind::BadAnswer { .. } => 502,
        Kind::UpstreamTimeout { .. } => 504,
    }
}

/// Makes the response for `error`: head into `x.response`, body returned.
pub fn response(x: &mut Exchange, error: &Error) -> Body {
    // What plugins set before the failure stays, as in nginx; an upstream's fields do not.
    if x.response.origin == Origin::Upstream {
        x.response.fields.clear();
    }
    x.response.printed.clear();
    x.response.origin =
        if error.side() == Side::Upstream { Origin::Failure } else { Origin::Gateway };
    x.response.status = status(error);
    if *error.kind() == Kind::NoRoute {
        set(x, "Content-Type", "text/plain; charset=utf-8");
        return whole(x, NO_ROUTE.as_bytes().to_vec());
    }
    if matches!(error.kind(), Kind::BodyTampered { .. }) {
        set(x, "Content-Type", "text/plain; charset=utf-8");
        return whole(x, TAMPERED.as_bytes().to_vec());
    }
    page(x)
}

/// The page for the status of `x`, as nginx has one for each from 300 on.
pub fn page(x: &mut Exchange) -> Body {
    let status = x.response.status;
    if status < 300 || status == 304 || status == 204 {
        x.response.length = Some(0);
        return Body::Empty;
    }
    set(x, "Content-Type", "text/html; charset=utf-8");
    whole(x, html(status))
}

/// A small page with the status; its centre names the server, as tooling expects.
#[must_use]
pub fn html(status: u16) -> Vec<u8> {
    let reason = match status {
        302 => "Found",
        499 => "Client Closed Request",
        status => http1::reason(status),
    };
    let title = format!("{status} {reason}");
    format!(
        "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n\
         <hr><center>openresty</center>\r\n<p><em>Powered by moongate.</em></p></body>\r\n</html>\r\n"
    )
    .into_bytes()
}

fn set(x: &mut Exchange, name: &str, value: &str) {
    // Both are constants of this file and always valid.
    let _ = x.response.fields.set(name, value);
}

fn whole(x: &mut Exchange, body: Vec<u8>) -> Body {
    x.response.length = Some(body.len() as u64);
    Body::Full(body.into())
}
