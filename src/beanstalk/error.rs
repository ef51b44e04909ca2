//! What a failed call to Elastic Beanstalk means, decided in this one place.

use aws_sdk_elasticbeanstalk::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};

use crate::deploy::doctor::redacted;
use crate::deploy::server::Unread;

/// Codes by which AWS asks to be asked less.
const THROTTLED: &[&str] =
    &["Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "RequestThrottled"];
/// Codes of credentials that may not do this, or not any more.
const DENIED: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "ExpiredToken",
    "ExpiredTokenException",
    "InsufficientPrivilegesException",
    "InvalidClientTokenId",
    "MissingAuthenticationToken",
    "OptInRequired",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
];
/// The longest fragment kept of an error.
const LONGEST: usize = 200;

/// Why a read failed.
pub(super) fn unread<E, R>(error: &SdkError<E, R>) -> Unread
where
    SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    match (error.code(), error.message()) {
        (Some(code), _) if THROTTLED.contains(&code) => Unread::Throttled,
        (Some(code), _) if DENIED.contains(&code) => Unread::Denied(code.to_owned()),
        (Some("InvalidParameterValue"), Some(message)) if message.contains("No Environment found") => Unread::Missing,
        (_, _) => Unread::Unreachable(redacted(&why(error))),
    }
}

/// Whether this is how an environment with basic health answers questions about its servers.
pub(super) fn is_basic<E, R>(error: &SdkError<E, R>) -> bool
where
    SdkError<E, R>: ProvideErrorMetadata,
{
    error.code() == Some("InvalidRequestException")
}

/// AWS's code and message; for what never got an answer, what kept it.
pub(super) fn why<E, R>(error: &SdkError<E, R>) -> String
where
    SdkError<E, R>: ProvideErrorMetadata + std::error::Error,
    E: std::error::Error + 'static,
    R: std::fmt::Debug,
{
    let text = match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => code.to_owned(),
        (None, _) => match error {
            SdkError::TimeoutError(_) => "no answer in time".to_owned(),
            SdkError::DispatchFailure(_) => "not reached, or without credentials".to_owned(),
            _ => DisplayErrorContext(error).to_string(),
        },
    };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(LONGEST).collect()
}
