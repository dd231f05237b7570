"""Compose two graders: OpenAI's `multi`, as it stands. The grade keeps its parts and shows its arithmetic."""

from graders import load

grader = load(
    {
        "type": "multi",
        "graders": {
            "rank": {"type": "rank", "reference": "{{item.gene}}"},
            "disease": {
                "type": "text_similarity",
                "input": "{{sample.output_text}}",
                "reference": "{{item.disease}}",
                "evaluation_metric": "fuzzy_match",
            },
        },
        "calculate_output": "0.8 * rank + 0.2 * disease",
    }
)
grade = grader("TGFBR2\nFBN1\nMarfan syndrome", {"gene": "FBN1", "disease": "Marfan syndrome"})
print(grade.formula)
for name, part in grade.parts.items():
    print(f"{name}: {part.score} because {part.why}")
