"""Parts of the contract of the web application with a subscriber: see `caterva2.web.reader`."""
