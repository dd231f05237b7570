"""From other people's files to our graders: what OpenAI's jobs and evals and Promptfoo's configs hold."""
