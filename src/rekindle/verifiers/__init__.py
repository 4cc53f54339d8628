"""Who judges an answer: time-limited, fail closed."""
