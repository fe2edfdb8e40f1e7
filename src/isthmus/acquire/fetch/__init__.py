"""Gets content at addresses inside one network environment: rules first, then limits, then the engine."""
