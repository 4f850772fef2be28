"""The Hugging Face Hub: names, the client and its failures, what is uploaded and what is fetched. No torch."""
