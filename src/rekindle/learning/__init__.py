"""From rewards to gradients: advantage estimators, token filters, aggregation and token losses."""
