"""What tests share: servers, databases, the template."""
