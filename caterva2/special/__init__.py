"""Special roots @public, @shared and @personal: datasets that users change."""
