"""Who comes in: sessions, failed logins and the limit on them, and people's own accounts by OpenID Connect."""
