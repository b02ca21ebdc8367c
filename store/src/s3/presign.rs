//! Addresses under which somebody without credentials may put or get one object (AWS Signature Version 4 in the query). They are made
//! here, without a word to the store.

use std::time::Duration;

use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
use aws_sdk_s3::presigning::PresigningConfig;

use super::S3;
use super::failure::failed;
use crate::{Error, Key};

impl S3 {
    /// The address under which whoever has it may put an object of exactly `size` bytes there, for so long. Its length is signed with
    /// it; a checksum is not, as nobody knows it yet.
    ///
    /// # Errors
    /// [`Error`]: as where there are no credentials.
    pub async fn presign_put(&self, key: &Key, size: u64, good_for: Duration) -> Result<String, Error> {
        let refused = |error: &dyn std::fmt::Display| Error::Refused(error.to_string());
        let length = i64::try_from(size).map_err(|error| refused(&error))?;
        let config = PresigningConfig::expires_in(good_for).map_err(|error| refused(&error))?;
        let request = self.client.put_object().bucket(&*self.bucket).key(key.as_str()).content_length(length);
        // The checksum that is usual would be signed, and be that of nothing.
        let plain = Builder::new().request_checksum_calculation(RequestChecksumCalculation::WhenRequired);
        let presigned = request.customize().config_override(plain).presigned(config).await;
        presigned.map(|request| request.uri().to_owned()).map_err(|error| failed(&error))
    }

    /// The address under which whoever has it may get an object, or a range of it, for so long.
    ///
    /// # Errors
    /// [`Error`]: as where there are no credentials.
    pub async fn presign_get(&self, key: &Key, good_for: Duration) -> Result<String, Error> {
        let config = PresigningConfig::expires_in(good_for).map_err(|error| Error::Refused(error.to_string()))?;
        let presigned = self.client.get_object().bucket(&*self.bucket).key(key.as_str()).presigned(config).await;
        presigned.map(|request| request.uri().to_owned()).map_err(|error| failed(&error))
    }
}
