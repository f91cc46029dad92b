"""One program a client. Each runs where that client is installed, and knows nothing of the gateway but its address."""
