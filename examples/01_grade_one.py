"""Grade one output: how far down the list does the right gene stand?"""

from graders import load

grader = load(
    {
        "type": "rank",
        "reference": "{{item.gene}}",
        "credit": {"rule": "table", "credits": [1, 0.7, 0.5, 0.35, 0.25]},
    }
)
grade = grader("1. TGFBR2\n2. FBN1\n3. COL3A1", {"gene": "FBN1"})
print(grade.score, "because", grade.why)
