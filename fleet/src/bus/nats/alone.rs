//! One driver at a time: whoever drives a fleet answers on a subject, and who would drive it, too, asks there first.

use async_nats::client::RequestErrorKind;
use futures_util::StreamExt as _;

use super::{NatsBus, unavailable};
use crate::bus::Error;

/// Where the driver answers.
const DRIVER: &str = "vtp.driver";

impl NatsBus {
    /// Makes sure that nobody else drives the nodes of this bus, and answers whoever asks from now on, for as long as there is a
    /// connection. Two that ask at the same moment may both go on; their jobs get in each other's way then, and none is made
    /// wrongly, for attempts have numbers.
    ///
    /// # Errors
    /// [`Error::Misconfigured`] if there is one; [`Error::Unavailable`].
    pub async fn claim_alone(&self) -> Result<(), Error> {
        match self.client.request(DRIVER, "".into()).await {
            Ok(_) => {
                let what = "another run drives its nodes; wait until that has ended, or use another server";
                return Err(Error::Misconfigured(what.to_owned()));
            }
            Err(error) if error.kind() == RequestErrorKind::NoResponders => {}
            Err(error) => return Err(unavailable(error)),
        }
        let mut asked = self.client.subscribe(DRIVER).await.map_err(unavailable)?;
        self.client.flush().await.map_err(unavailable)?;
        let client = self.client.clone();
        tokio::spawn(async move {
            while let Some(question) = asked.next().await {
                let Some(reply) = question.reply else { continue };
                if let Err(error) = client.publish(reply, "".into()).await {
                    tracing::debug!(%error, "nobody was told that this fleet is driven");
                }
            }
        });
        Ok(())
    }

    /// Waits until the server has all that was said.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn flush(&self) -> Result<(), Error> {
        self.client.flush().await.map_err(unavailable)
    }
}
