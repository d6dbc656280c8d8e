"""The door of identity providers: SCIM 2.0 (RFC 7643, RFC 7644) for the members and teams of one organization."""
