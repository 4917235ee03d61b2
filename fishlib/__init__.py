"""Does removing the background help a model name the fish? A notebook study."""
