"""Between the messages of the API and the types of registry and scoring: values only, no calls to either."""
