"""The services that graders ask: where they are, what they cost, how often they are asked, what they answered."""
