//! Answers of Elastic Beanstalk have an end: the SDK itself reads bodies of any size into memory.

use aws_sdk_elasticbeanstalk::config::interceptors::BeforeDeserializationInterceptorContextMut;
use aws_sdk_elasticbeanstalk::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_elasticbeanstalk::error::BoxError;
use aws_smithy_types::body::SdkBody;
use http_body_util::Limited;

/// The largest answer that is read, in bytes.
const MOST: usize = 8 << 20;

/// Cuts off what goes on beyond that; then the call fails.
#[derive(Debug)]
pub(super) struct Answers;

impl Intercept for Answers {
    fn name(&self) -> &'static str {
        "bounded answers"
    }

    fn modify_before_deserialization(
        &self,
        context: &mut BeforeDeserializationInterceptorContextMut<'_>,
        _components: &RuntimeComponents,
        _config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let body = context.response_mut().body_mut();
        let endless = std::mem::replace(body, SdkBody::taken());
        *body = SdkBody::from_body_1_x(Limited::new(endless, MOST));
        Ok(())
    }
}
