"""What every function shares: settings, errors, authentication, the HTTP face and logging."""
