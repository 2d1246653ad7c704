"""Reading text: languages, words, key phrases, readability and sentiment, without a network and without a model."""
