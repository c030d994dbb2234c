"""Who comes in: sessions, metrics of failed logins, and people's own accounts by OpenID Connect."""
