"""The four AI APIs: one simulated model behind four shapes of request, answer and error."""
