"""Shapes: which lists, sets, intervals, relations, matrices, quantities and words mean the same, and why not."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graders.math.evaluated import unevaluated
from graders.math.policy import Policy
from graders.math.reading.parse import parse, parse_words
from graders.math.shapes.shapes import same
from graders.math.tree import Node, number, symbol
from graders.math.written import LIMIT, written

EQUAL = [
    # names
    ("x=5", "5"),
    ("5=x", "5"),
    (r"\frac{40}{3}=a", r"a=\frac{40}{3}"),
    ("x=5", "x=10/2"),
    ("(p,q)=(4,9)", "(4,9)"),
    ("(p,q)=(4,9)", "(q,p)=(9,4)"),
    ("(p,q)=(4,9)", "p=4, q=9"),
    ("f(x)=x^2", "x^2"),
    ("f(x)=x^2", "f(t)=t^2"),
    ("W(n)=6", "W(x)=6"),
    ("|PQ|=3", "3"),
    ("A:B=3", "3"),
    (r"\frac{PQ}{QR}=\frac{1}{\sqrt 2}", r"\frac{\sqrt 2}{2}"),
    ("AB=6, CD=7", "6, 7"),
    ("k=45, n=2", "n=2, k=45"),
    ("k=45, n=2", "45, 2"),
    ("x_1=2, x_2=3", "3, 2"),
    ("x=4,-8,-10", "-10,-8,4"),
    ("x=4,-8,-10", "x=-10, x=-8, x=4"),
    ("p=5,q=2;p=7,q=3", "(5,2),(7,3)"),
    ("p=5,q=2;p=7,q=3", "q=3,p=7;q=2,p=5"),
    (r"(x,y)=(5,8) \text{ and } (9,3)", "(9,3),(5,8)"),
    (r"\psi(\theta)=2\theta(1-\theta)", r"2\theta-2\theta^2"),
    (r"\frac{dy}{dx}=2", "2"),
    ("x = 5", "{5}"),
    (r"x=2k\pi, k\in\mathbb{Z}", r"x=2n\pi, n\in\mathbb{Z}"),
    (r"x=2k\pi, k\in\mathbb{Z}", r"x=2k\pi"),
    # chains
    ("5+5=10", "10"),
    ("x=4+5=9", "9"),
    (r"x\approx 11", "11"),
    (r"x=1/3\approx 0.33", "1/3"),
    (r"\frac{\sqrt5}{5}\approx 0.447", r"\frac{1}{\sqrt 5}"),
    ("x=1/3=0.333", "1/3"),
    (r"\cos\pi=-1, \sin\pi=0", "-1, 0"),
    (r"i^{9}=1\cdot i=i", "i"),
    # plus-minus
    (r"1\pm\sqrt{7}", r"1+\sqrt 7, 1-\sqrt 7"),
    (r"\{1\pm\sqrt7,-2\}", r"\{-2, 1-\sqrt7, 1+\sqrt7\}"),
    (r"\pm 12", r"\{-12, 12\}"),
    (r"-3, \pm 2, 1", "1,2,-2,-3"),
    (r"x=\pm 2", "x=2, x=-2"),
    (r"x=\pm 2", "2, -2"),
    (r"(e, \pm\sqrt7)", r"(e,\sqrt7),(e,-\sqrt7)"),
    (r"\pm\sqrt{2\pm\sqrt 3}", r"\sqrt{2+\sqrt3},-\sqrt{2+\sqrt3},\sqrt{2-\sqrt3},-\sqrt{2-\sqrt3}"),
    (r"(\pm 1, \pm 2)", "(1,2),(-1,-2)"),
    (r"(\pm 1, \mp 2)", "(1,-2),(-1,2)"),
    (r"x=\frac12, x=\frac{-1\pm\sqrt{17}}{4}", r"\frac12, \frac{-1+\sqrt{17}}{4}, \frac{-1-\sqrt{17}}{4}"),
    # collections
    ("1,2", "2,1"),
    ("(1,2)", "1,2"),
    (r"\{1,2\}", r"\{2,1\}"),
    (r"\{1,2\}", "1,2"),
    (r"\{1,2,2\}", "1,2"),
    (r"6 \text{ and } 8", "8,6"),
    (r"19, 46, \text{ and } 82", "46, 19, 82"),
    (r"(11,6) \text{ or } (6,11)", "(6,11), (11,6)"),
    ("(0;0;0),(0;-2;0)", "(0,-2,0),(0,0,0)"),
    ("[3,2,1]", "(3,2,1)"),
    ("[1,2]", "1,2"),
    (r"\sqrt8, 1", r"1, 2\sqrt2"),
    (r"\{5\}", "5"),
    (r"\{(1,2)\}", "(1,2)"),
    (r"\left\{\begin{pmatrix}1\\0\end{pmatrix}\right\}", "(1,0)"),
    (r"x\in\mathbb{R}, x\neq 2", r"(-\infty,2)\cup(2,\infty)"),
    (r"(x,y)\in\{(1,2),(3,4)\}", "(3,4),(1,2)"),
    (r"(1,2)\cup(3,4)", "(1,2),(3,4)"),
    (r"(-\infty,1),(2,\infty)", r"x<1 \text{ or } x>2"),
    ("3-|x|>1", "-2<x<2"),
    (r"|2x-1|\le 3", "[-1,2]"),
    ("|x|<-1", r"\emptyset"),
    ("x>2a", "x-2a>0"),
    (r"\{x\in\mathbb{R}\mid x>0\}", r"(0,\infty)"),
    (r"[2,3]\cap[1,2.5]", "[2,2.5]"),
    (r"y=\pm x", "y=x, y=-x"),
    (r"3\pm\sqrt5", r"3\mp\sqrt5"),
    (r"\frac34\text{ hours}", r"45\text{ minutes}"),
    (r"9\pmod{11}", "9"),
    ("e=2", "2"),
    ("1,22", "1.22"),
    ("1,22", "22,1"),
    ("12,345", "12345"),
    ("12,345", "12, 345"),
    # intervals and inequalities
    ("[0,1)", "[0,1)"),
    (r"(2,12)\cup(12,20)", r"x\in(12,20)\cup(2,12)"),
    (r"(\frac35,\frac83]", "(0.6,2.6667]"),
    (r"\{-1\}\cup[0,7)", r"[0,7)\cup\{-1\}"),
    (r"(0,1]\cup[1,2)", "(0,2)"),
    (r"(0,1)\cup\{1\}\cup(1,2)", "(0,2)"),
    (r"x\in[-2,6]", r"-2\le x\le 6"),
    (r"x\in[-2,6]", "[-2,6]"),
    (r"x\ge 5", r"5\le x"),
    (r"x\ge 5", r"[5,\infty)"),
    (r"x\neq 3", r"(-\infty,3)\cup(3,\infty)"),
    (r"\mathbb{R}\setminus\{3\}", r"x\ne 3"),
    (r"x\ne 1, x\ne 2", r"\mathbb{R}\setminus\{1,2\}"),
    ("x<1", "-x>-1"),
    ("2x>6", "x>3"),
    ("2x+1<7", "x<3"),
    ("1-x/2>0", "x<2"),
    ("|x|<3", "(-3,3)"),
    (r"|x-1|\le 2", r"-1\le x\le 3"),
    ("|x|>3", r"x<-3 \text{ or } x>3"),
    (r"|x|\ne 3", r"x\ne 3, x\ne -3"),
    (r"1\le|z|\le\frac52", r"z\in[-\frac52,-1]\cup[1,\frac52]"),
    ("0<f(x)<1", "(0,1)"),
    ("-7<a<10", "(-7,10)"),
    (r"x<2 \text{ or } x>3", r"(-\infty,2)\cup(3,\infty)"),
    ("x>2, x<3", "(2,3)"),
    (r"\{x \mid -1/3<x<1/3\}", "(-1/3,1/3)"),
    ("a<x<b", "(a,b)"),
    (r"-1<x\le 1:(-1,1]", "(-1,1]"),
    (r"(-\infty,\infty)", r"\text{all real numbers}"),
    (r"\emptyset", r"\{\}"),
    (r"|x|\ge 0", r"\mathbb{R}"),
    # equations and systems
    ("x^2/9+y^2/4=1", "x^2/18+y^2/8=1/2"),
    ("2x+4y-3=0", r"y=-\frac12 x+\frac34"),
    ("3x-y+z=7", "-3x+y-z=-7"),
    ("y=2x+1", "2x+1"),
    ("y=2x+1", "2x-y+1=0"),
    ("y=x^2+2x+1", "(x+1)^2"),
    ("x=x", "x=x"),
    ("x+y<3", "3>x+y"),
    ("x+y<3", "-2x-2y>-6"),
    ("x+y=1, x-y=3", "x-y=3, 2x+2y=2"),
    (r"\begin{cases}x+y=1\\x-y=3\end{cases}", "x-y=3, x+y=1"),
    ("f(2)<f(1)<f(4)", "f(4)>f(1)>f(2)"),
    # residues and ratios
    (r"x\equiv 3\pmod 7", r"x\equiv 10\pmod{7}"),
    (r"x\equiv -4\pmod 7", r"x\equiv 3\pmod 7"),
    ("7:32", "14:64"),
    ("7:32", "7/32"),
    ("1:2:3", "2:4:6"),
    ("V_1:V_2=11:21", "11:21"),
    ("12:00", "12:00"),
    # percent, units, bases
    (r"28\%", "28"),
    (r"28\%", "0.28"),
    (r"28\%", r"28 \text{ percent}"),
    (r"100\text{ cm}", r"1\text{ m}"),
    (r"15\text{ cm}^2", "15"),
    (r"\$5", "5"),
    (r"5\text{ apples}", "5"),
    (r"90^\circ", "90"),
    (r"45^\circ", r"\frac{\pi}{4}"),
    (r"180^\circ", r"\pi \text{ rad}"),
    (r"\sin 30^\circ", r"\frac12"),
    (r"3\text{ ft }6\text{ in}", r"42\text{ in}"),
    (r"x=5\text{ cm}", "5"),
    ("204_5", "204_5"),
    (r"3\text{ cm}, 5\text{ cm}", "5, 3"),
    # words
    (r"\text{E}", "E"),
    (r"\text{(C)}", "C"),
    (r"\text{odd}", "odd"),
    (r"\text{Even}", "even"),
    (r"\text{Marta}", "marta"),
    (r"\text{DNE}", r"\text{does not exist}"),
    (r"\text{no solution}", r"\emptyset"),
    (r"\text{none}", r"\text{No solutions.}"),
    (r"\text{infinitely many}", r"\text{There are infinitely many solutions}"),
    (r"\text{Ann}, \text{Bob}", r"\text{Bob}, \text{Ann}"),
    # matrices
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{bmatrix}1&2\\3&4\end{bmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "[[1,2],[3,4]]"),
    (r"\begin{pmatrix}1\\2\\3\end{pmatrix}", "(1,2,3)"),
    (r"\begin{pmatrix}1\\2\\3\end{pmatrix}", "[1,2,3]"),
    (
        r"\begin{pmatrix}1&2\\3&4\end{pmatrix}+\begin{pmatrix}5&6\\7&9\end{pmatrix}",
        r"\begin{pmatrix}6&8\\10&13\end{pmatrix}",
    ),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^{-1}", r"\begin{pmatrix}-2&1\\3/2&-1/2\end{pmatrix}"),
    (r"\begin{pmatrix}1&1\\0&1\end{pmatrix}^{10}", r"\begin{pmatrix}1&10\\0&1\end{pmatrix}"),
    (r"2\begin{pmatrix}1\\2\end{pmatrix}-\begin{pmatrix}1\\1\end{pmatrix}", r"\begin{pmatrix}1\\3\end{pmatrix}"),
    (r"\frac12\begin{pmatrix}1&2\end{pmatrix}\begin{pmatrix}3\\4\end{pmatrix}", "11/2"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}^T", r"\begin{pmatrix}1&3\\2&4\end{pmatrix}"),
    (r"\begin{vmatrix}a&b\\c&d\end{vmatrix}", "ad-bc"),
    (r"\begin{vmatrix}1&2\\3&4\end{vmatrix}", "-2"),
    (r"A=\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"),
    (r"\begin{pmatrix}x+1\\2\end{pmatrix}+\begin{pmatrix}x\\x\end{pmatrix}", "(2x+1, x+2)"),
    (
        r"c_1\begin{pmatrix}1\\2\end{pmatrix}+c_2\begin{pmatrix}0\\1\end{pmatrix}",
        r"\begin{pmatrix}c_1\\2c_1+c_2\end{pmatrix}",
    ),
    ("2(1,2)+(3,4)", "(5,8)"),
    # cases
    (
        r"f(x)=\begin{cases}x&x>0\\-x&x\le 0\end{cases}",
        r"\begin{cases}-x&x\le 0\\x&x>0\end{cases}",
    ),
    # chains: units
    ("0.5", r"50\% = 0.5"),
    ("45", r"\frac{45}{100}\$ = 45"),
    (r"5\text{ cm}", r"2+3 = 5\text{ cm}"),
    # chains: remarks behind an approximation
    (r"\sqrt2", r"\sqrt2\approx 1.41"),
    (r"\sqrt2", r"\sqrt2\approx 1.4142"),
    ("22/7", r"x=22/7 \approx 3"),
    (r"100\pi", r"100\pi\approx 314"),
    ("1234567", r"1234567 \approx 1.23\times 10^6"),
    ("3.14159", r"\pi\approx 3.14159"),
    # names of functions
    ("f(x,y)=x+2y", "f(s,t)=s+2t"),
    # runs of capitals
    ("AB", "BA"),
    ("ABC", "ABC"),
    ("AB=5", "BA=5"),
    ("AB", r"A\cdot B"),
    ("ABC", r"A\cdot C\cdot B"),
    ("A^2B", "BA^2"),
    ("AAB", "A^2B"),
    ("SSA", r"\text{SSA}"),
    # records
    ("(1,2)", "x=1,y=2"),
    ("(1,2)", "y=2,x=1"),
    ("(2,1)", "y=1,x=2"),
    ("x=1,y=2", "1,2"),
    (r"x=1\text{ and }y=2", "(1,2)"),
    ("AB=4, CD=5", "4, 5"),
    ("n=2, k=45", "2, 45"),
    # several names for one value
    ("a=5,b=5", "a=b=5"),
    ("a=5,b=5,c=5", "a=b=c=5"),
    ("5", "a=b=5"),
    ("x=y=z=2", "x=2,y=2,z=2"),
    # sets
    (r"\{1,1,2\}", r"\{1,2\}"),
    (r"\{1,1,2\}", r"\{2,1,2\}"),
    (r"\{\frac12,0.5,2\}", r"\{2,1/2\}"),
    (r"\{1,1,2\}", "1,2"),
    (r"\{\sqrt8,2\sqrt2\}", r"\{\sqrt8\}"),
    (r"\{25\%, 50\%\}", r"\{0.5, 0.25\}"),
    # and, or
    ("x>2, y<3", r"x>2 \text{ and } y<3"),
    ("y<3, x>2", r"x>2 \text{ and } y<3"),
    ("x=1,x=2", r"x=1 \text{ or } x=2"),
    (r"x=1 \text{ and } x=2", r"x=1 \text{ or } x=2"),
    ("x+y=1 , x-y=2", r"x+y=1 \text{ and } x-y=2"),
    ("y=2x,y=3x", r"y=2x \text{ or } y=3x"),
    ("x=3,x=y", r"x=3 \text{ and } x=y"),
    # sets in sets
    ("5", r"x\in\{5\}"),
    ("5", "(5)"),
    # lists that go on
    (r"1,3,5,\ldots", r"1,3,5,\ldots"),
    (r"1,3,5,\ldots", r"\{1,3,5,\ldots\}"),
    # what an expression is said to be worth
    ("5", "a+b=5"),
    ("5", "m+n = 2+3 = 5"),
    ("5", "x^2+y^2=5"),
    ("5", "abc=5"),
    ("42", "AB^2=42"),
    ("42", "|a-b|=42"),
    ("42", "x_1x_2=42"),
    ("1/2", r"\tan\theta=\frac12"),
    ("42", r"\operatorname{Var}(X)=42"),
    ("5", r"\lim_{x\to 0} f(x) =5"),
    ("42", r"[\triangle ABC]=42"),
    ("42", r"\mathbf u\cdot\mathbf v=42"),
    (r"\{1,3,5\}", r"A\cap B=\{1,3,5\}"),
    ("(x-1)e^x+C", r"\int xe^x dx=(x-1)e^x+C"),
    ("a+b=5", "b+a=5"),
    ("42", r"\binom{n}{2}=42"),
    # the same value said twice
    (r"\frac34", r"\frac34\text{ or }0.75"),
    (r"\frac34", r"\frac34, 0.75, 75\%"),
    ("42", r"42\text{ or }42.0"),
    (r"\frac34", r"x=\frac34\text{ or }x=0.75"),
    ("7", r"7\text{ or } 7"),
    # y and f(x)
    ("y=x^2", "f(x)=x^2"),
    ("y(x)=x^2", "y=x^2"),
    ("y(x)=x^2", "f(x)=x^2"),
    ("y(x)=x^2", "x^2"),
    ("y=f(x)=x^2", "x^2"),
    ("y=f(x)=x^2", "y=x^2"),
    ("y=3e^{2t}", "y(t)=3e^{2t}"),
    ("y=2x+1", "f(x)=2x+1"),
    # named points
    ("P(2,3)", "(2,3)"),
    ("A(1,2), B(3,4)", "(1,2),(3,4)"),
    ("P(2,3)", "P=(2,3)"),
    ("P(1,2)=5", "5"),
    (r"P(\sqrt2,3)", r"(\sqrt2,3)"),
    ("P(2,3)", "2,3"),
    # words
    (r"\text{an ellipse}", r"\text{ellipse}"),
    (r"\text{The ellipse}", r"\text{an ellipse}"),
    (r"\text{seven}", "7"),
    (r"\text{Twenty}", "20"),
    (r"\text{No solutions exist}", r"\emptyset"),
    (r"\text{The system has no solution.}", r"\emptyset"),
    (r"\text{the series is divergent}", r"\text{diverges}"),
    (r"\text{The series diverges.}", r"\text{divergent}"),
    (r"\text{DNE}", r"\text{The limit does not exist.}"),
    (r"\text{first quadrant}", r"\text{Quadrant I}"),
    (r"\text{Quadrant I}", r"\text{Quadrant 1}"),
    (r"\text{The first quadrant}", r"\text{Quadrant I}"),
    (r"\text{Yes, it is prime.}", r"\text{Yes}"),
    (r"\text{infinity}", r"\infty"),
    (r"\text{negative infinity}", r"-\infty"),
    (r"\text{undefined}", r"\text{The limit is undefined}"),
    ("[1,2]", r"1 \text{ or } 2"),
    (r"x_1=1 \text{ or } x_2=2", r"\{2,1\}"),
    ("x_1=1, x_2=2", r"\{2,1\}"),
    ("(1,2),(3,4)", r"(x,y)=(1,2) \text{ or } (3,4)"),
    (r"x+y=1,x-y=2 \text{ or } x+y=3,x-y=4", r"x-y=4,x+y=3 \text{ or } x-y=2,x+y=1"),
    (r"x>2 \text{ or } x<1", r"x<1 \text{ or } x>2"),
    ("x^3>2 , x^2>7", r"x^3>2 \text{ and } x^2>7"),
    (r"x=5\text{ cm}", r"x = 5\text{ cm} = 5"),
    (r"50\text{ mm}", r"5\text{ cm} = 50\text{ mm}"),
    (r"\$1250", r"5\cdot 250 = \$1250"),
    (r"45^\circ", r"\frac{\pi}{4} = 45^\circ"),
    ("1/3", r"1/3 \approx 33\%"),
    (r"\frac23", r"\frac23 \approx 0.67 \approx 0.7"),
    (r"2\sqrt3", r"2\sqrt3\text{ cm} \approx 3.46\text{ cm}"),
    ("1234567", r"1234567 \approx 1230000"),
    ("10^{100}", r"10^{100} \approx 10^{100}"),
    (r"\{a,b\}", r"\{b,a\}"),
    ("AB+AC", "A(B+C)"),
    ("x=y=5", "y=5"),
    ("y=f(x)=x^2", "f(t)=t^2"),
    # chains, names, sets and words once more
    (r"\text{The limit is infinity}", r"\infty"),
    (r"\text{The slope is undefined}", r"\text{undefined}"),
    (r"\text{No, it is composite.}", r"\text{no}"),
    ("x=5", "x = 5 = 5.0"),
    ("F(1,2)", "(1,2)"),
    (r"\{\emptyset\}", r"\{\{\}\}"),
    ("x=3, y=3", "x=y=3"),
    ("12.5", r"12.5 \approx 13"),
    ("0.5", r"\frac12 = 50\%"),
    (r"-\frac13", r"-\frac13 \approx -0.33"),
    ("45", r"45^\circ \approx 0.785"),
    ("10^6", r"1000000 \approx 10^6"),
]

DIFFERENT = [
    ("x=5", "y=5"),
    ("f(x)=x", "f(y)=x"),
    ("f(x)=x^2", "f(x)=x^3"),
    ("6=11a+c", "11a+c"),
    ("a+3z=0", "0"),
    ("2x+z=1", "1"),
    ("k=45, n=2", "2, 45"),
    ("R=1, I=(-6,-4)", "R=1, I=(-6,-5)"),
    ("D=(0,1)", "D=(0,1.5)"),
    ("8=7", "7"),
    ("1=2=3=7", "7"),
    ("x=4+5=7=9", "9"),
    (r"\ln(e^5)=5", r"\ln(e^5)=6"),
    (r"i^{9}=1\cdot i=i", r"i^{9}=2\cdot i=i"),
    (r"-1<x\le 1:(-1,1]", r"-1<x\le 1:(-1,2]"),
    (r"\pm 12", "12"),
    (r"(\pm 1, \pm 2)", "(1,-2),(-1,2)"),
    ("(1,2)", "2,1"),
    ("(1,2)", "(2,1)"),
    ("(1,2)", r"\{1,2\}"),
    ("1,2,2", "1,2"),
    ("1,1,2", "1,2,2"),
    (r"7 \text{ or } 8", "7"),
    ("7", "7,8"),
    ("(37,3,3),(17,3,5)", "(3,37,3),(17,3,5)"),
    ("[0,9)", "[0,1)"),
    ("(0,9)", "[0,9)"),
    ("[0,1)", "(0,1)"),
    ("[0,9]", "(0,9)"),
    ("[0,9]", r"\{0,9\}"),
    (r"(0,1)\cup(1,2)", "(0,2)"),
    ("x>5", "x<5"),
    ("x>5", r"[5,\infty)"),
    ("x<1", "x>-1"),
    ("x<5", "y<5"),
    ("x<5", "5"),
    ("x<5", "x=5"),
    ("-2x+y-z-2=0", "-2x+y-z-2=1"),
    ("y=2x+1", "y=2x+2"),
    ("e^x=0", "e^{x^2}=0"),
    ("x=x+1", "x=x+2"),
    ("x=x", "y=y"),
    ("x+y<3", "x+y>3"),
    ("x+y<3", r"x+y\le 3"),
    ("x+y<3", "x+y=3"),
    ("f(2)<f(1)<f(4)", "f(1)<f(2)<f(4)"),
    (r"x\equiv 3\pmod 7", r"x\equiv 4\pmod 7"),
    (r"x\equiv 3\pmod 7", r"x\equiv 3\pmod 8"),
    ("1:2:3", "2:4:7"),
    ("12:00", "1:00"),
    ("28", "0.28"),
    (r"28\%", r"28\text{ cm}"),
    (r"15\text{ cm}^2", r"15\text{ cm}^3"),
    (r"100\text{ cm}", r"2\text{ m}"),
    (r"\$5", "€5"),
    (r"45^\circ", r"46^\circ"),
    ("204_5", "204"),
    ("204_5", "54"),
    ("1011_2", "1011_3"),
    ("d", r"\text{E}"),
    ("c", r"\text{C}"),
    ("odd", r"\text{oddd}"),
    (r"\text{yes}", r"\text{true}"),
    (r"\text{yes}", "5"),
    (r"\text{none}", "0"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", r"\begin{pmatrix}1&2\\3&5\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "(1,2)"),
    (r"\begin{pmatrix}1\\2\\3\end{pmatrix}", r"\{1,2,3\}"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}1&2\end{pmatrix}"),
    (r"\begin{pmatrix}1&2\end{pmatrix}", "1"),
    (r"\begin{pmatrix}1&2\\3&4\end{pmatrix}", "(1,2),(3,4)"),
    ("f(1)<f(2)<f(4)", r"\emptyset"),
    ("32349", "32, 349"),
    (r"\sqrt{67},-\sqrt{85}", r"\sqrt{67}"),
    ("n=2,3,4", "n=1,2,3"),
    (r"(1,2)\cup(3,4)", "(1,2),(3,5)"),
    ("2^{10}=1000", "1000"),
    ("(x-1)(x+2)=0", "x=1,-2"),
    (r"x\in[1,2]", r"y\in[1,2]"),
    ("-2x>6", "x>-3"),
    ("7,7", "7"),
    ("x=1, y=2", "x=2, y=1"),
    ("x=1, y=2", "x=1"),
    ("y=5-x", "5-y"),
    ("A", "a"),
    (r"\text{no}", r"\text{none}"),
    (r"x=2k\pi, k\in\mathbb{N}", r"x=2k\pi, k\in\mathbb{Z}"),
    # chains: units
    ("7", r"0 = 7\text{ cm}"),
    ("7", r"8 = \$7"),
    ("7", r"x = 8 = 7\text{ m}"),
    (r"7\text{ m}", r"7\text{ cm} = 7"),
    # chains: remarks behind an approximation
    ("7", r"7 \approx 8"),
    ("7", r"7 \approx 8 \approx 9"),
    ("48", r"48 \approx 0"),
    ("7", r"x = 7 \approx 8"),
    ("1/3", r"x=1/3\approx 1.3"),
    # names of functions
    ("P(A|B)=0.3", "P(B|A)=0.3"),
    ("f(a,b)=1", "f(b,a)=1"),
    ("f(A)=1", "f(B)=1"),
    ("E(X)=1", "E(Y)=1"),
    ("P(x)=1", "P(y)=1"),
    # runs of capitals
    ("SAS", "SSA"),
    ("TTH", "HTT"),
    ("BDC", "BCD"),
    ("ABC", "CBA"),
    ("AAB", "BAA"),
    ("SSA", r"\text{SAS}"),
    ("ABC=5", "ACB=5"),
    (r"\angle ABC", r"\angle ACB"),
    # records
    ("(x,y)=(1,2)", r"\{2,1\}"),
    ("(x,y)=(1,2)", r"1 \text{ or } 2"),
    ("(x,y)=(1,2)", r"x=1\text{ or }y=2"),
    ("x=1,y=2", r"\{2,1\}"),
    ("x=1,y=2", r"\{1,2\}"),
    ("(1,2)", "y=1,x=2"),
    ("x=1,y=2", "2,1"),
    ("x=1,y=2", r"x=1\text{ or }y=2"),
    ("n=2, k=45", "45, 2 , 3"),
    # several names for one value
    (r"d=4\sqrt{10}, M=(1,-4)", r"4\sqrt{10}, M=d=(1,-4)"),
    (r"d=4\sqrt{10}, M=(1,-4)", r"d=4\sqrt{10}, M=d=(1,-4)"),
    ("a=5,b=6", "a=b=5"),
    ("7", "x=5, x=7=y"),
    ("x=7", "x=y=7, y=8"),
    # sets
    (r"\{1,100\}", r"\{100\%\}"),
    (r"\{28,0.28\}", r"\{28\%\}"),
    (r"\{3.14155,3.14164\}", r"\{3.1416\}"),
    ("1,100", r"100\%,100\%"),
    # and, or
    (r"x>2 \text{ and } y<3", r"x>2 \text{ or } y<3"),
    (r"x=1 \text{ or } y=2", r"x=1 \text{ and } y=2"),
    (r"x+y=1 \text{ or } x-y=2", r"x+y=1 \text{ and } x-y=2"),
    ("x+y=1 , x-y=2", r"x+y=1 \text{ or } x-y=2"),
    # sets in sets
    (r"\emptyset", r"\{\emptyset\}"),
    (r"\{1\}", r"\{\{1\}\}"),
    (r"\{1,2\}", r"\{\{1,2\}\}"),
    ("5", r"\{\{5\}\}"),
    ("1,2", r"\{\{1,2\}\}"),
    ("(1,2)", r"\{\{1,2\}\}"),
    # lists that go on
    (r"1,3,5,\ldots", r"3,5,1,\ldots"),
    (r"\{1,3,5,\ldots\}", r"\{3,5,1,\ldots\}"),
    (r"1,2,\ldots,n", r"1,n,\ldots,2"),
    # what an expression is said to be worth
    ("5", "x^2+y^2=5=6"),
    ("5", "2x=5"),
    ("11a+c", "7=11a+c"),
    ("0", "a^2+b=0"),
    ("6", "xy=12"),
    ("6", "x=xy=12"),
    ("a+b=5", "a-b=5"),
    ("a+b=5", "6"),
    ("2x", "y+z=2x"),
    # the same value said twice
    (r"\frac34", r"\frac34\text{ or }0.76"),
    # y and f(x)
    ("f(x)=x^2", "g(x)=x^2"),
    ("y(x)=x^2", "y=x^3"),
    ("f(x)=x^2", "f(x)=y^2"),
    ("x=y^2", "f(y)=x^2"),
    ("y=5", "f(x)=6"),
    ("f(3)=5", "y=5"),
    ("z=2x+1", "f(x)=2x+1"),
    # named points
    ("A(1,2), B(3,4)", "(1,2),(4,3)"),
    ("A(1,2), B(3,4)", "(3,4)"),
    ("P(2,3)", "Q=(2,3)"),
    ("P(2,3)", "Q(2,3)"),
    ("P(2,3)", "(3,2)"),
    ("P(2,3)=5", "(2,3)"),
    ("P(x,3)", "(x,3)"),
    # words
    (r"\text{seven}", "8"),
    (r"\text{converges}", r"\text{diverges}"),
    (r"\text{second quadrant}", r"\text{Quadrant I}"),
    (r"\text{Quadrant II}", r"\text{Quadrant III}"),
    (r"\text{Yes, it is prime.}", r"\text{No}"),
    (r"\text{Yes, but}", r"\text{No}"),
    (r"\text{infinity}", r"-\infty"),
    (r"\text{a}", r"\text{the}"),
    (r"\text{Yes or no}", r"\text{Yes}"),
    (r"\text{Yes and no}", r"\text{Yes}"),
    (r"\text{Yes, no}", r"\text{Yes}"),
    (r"\text{A ball}", r"\text{B ball}"),
    (r"\text{seven apples}", "8"),
    (r"\text{zero}", r"\text{none}"),
    ("(1,2)", "x+y=1, x-y=2"),
    (r"\{1,2\}", "x+y=1, x-y=2"),
    (r"1 \text{ and } 2", "x+y=1, x-y=2"),
    ("(1,2)", r"1 \text{ or } 2"),
    (r"x=1 \text{ or } x=2", r"x=1 \text{ or } y=2"),
    ("x=1, x=2", r"x=1 \text{ or } y=2"),
    (r"\{1,2\}", r"x=1 \text{ or } y=2"),
    ("1,2", r"x=1 \text{ or } y=2"),
    (r"(x,y)=(1,2) \text{ or } (3,4)", "(1,2,3,4)"),
    ("x^2=2", "2"),
    (r"\sqrt{x}=3", "3"),
    ("5", "x+y=5, z=3"),
    ("0", "a+b=0"),
    (r"x+y=1,x-y=2 \text{ or } x+y=3,x-y=4", r"x+y=1,x-y=4 \text{ or } x+y=3,x-y=2"),
    (r"x^3>2 \text{ or } x^2>7", r"x^3>2 \text{ and } x^2>7"),
    (r"5\text{ m}", r"x = 5\text{ cm} = 5"),
    (r"\frac23", r"\frac23 \approx 0.67 \approx 0.9"),
    (r"2\sqrt3", r"2\sqrt3\text{ cm} \approx 3.46\text{ m}"),
    # chains, names, sets and words once more
    (r"\text{one}", r"\text{two}"),
    (r"\text{infinite}", r"\infty"),
    (r"\text{A}", r"\text{a}"),
    (r"\text{A or B}", r"\text{B}"),
    (r"\text{yes, unless n is odd}", r"\text{yes}"),
    (r"\text{No, it is not prime}", r"\text{No, it is prime}"),
    (r"\text{No, it is composite.}", r"\text{yes}"),
    (r"\text{not divergent}", r"\text{divergent}"),
    (r"\text{the series is not divergent}", r"\text{diverges}"),
    (r"\text{the system has a solution}", r"\emptyset"),
    (r"\text{no limit}", r"\emptyset"),
    ("x=5", "x = y = 6"),
    ("f(x)=x^2", "h(x)=x^2"),
    ("P(A)=0.3", "P(B)=0.3"),
    ("f(x,y)=x-y", "f(y,x)=x-y"),
    ("M=(1,2)", "N(1,2)"),
    ("1", r"1 \text{ or } 100 \text{ or } 100\%"),
    (r"100\%", r"1 \text{ or } 100"),
    ("5", "a+b=5=c=6"),
    ("6", "2ab=6"),
    ("6", "ab+1=6"),
    ("2", "e^x=2"),
    ("2", "2^x=2"),
    ("2", "x^x=2"),
    ("9", r"x=3 \approx 9"),
    (r"\emptyset", r"\{0\}"),
    (r"\{\emptyset, 1\}", r"\{1\}"),
    (r"\{1,\{2\}\}", r"\{1,2\}"),
    (r"\{\{1\},\{2\}\}", r"\{1,2\}"),
    (r"\{1,2\}", "1,2,3"),
    (r"1,2,3,\ldots", "1,2,3"),
    (r"1,2,3,\ldots", r"2,4,6,\ldots"),
    ("x=3, y=4", "x=y=3, y=4"),
    ("12", r"12 \approx 12.9"),
    (r"\frac12", r"\frac12 = 60\%"),
    (r"-\frac13", r"-\frac13 \approx 0.33"),
]

UNDECIDED = [
    ("10^{10^{10}}+1, 2", "2, 10^{10^{10}}"),
    ("x=10^{10^{10}}+1", "x=10^{10^{10}}"),
]


def judge(gold: str, answer: str, policy: Policy = Policy()) -> str:  # noqa: B008
    return same(parse_words(gold), parse_words(answer), policy).outcome


@pytest.mark.parametrize(("gold", "answer"), EQUAL)
def test_what_is_written_in_another_way_is_equal(gold: str, answer: str) -> None:
    verdict = same(parse_words(gold), parse_words(answer))
    assert verdict.equal, verdict.why


@pytest.mark.parametrize(("gold", "answer"), DIFFERENT)
def test_what_means_something_else_is_different_and_says_why(gold: str, answer: str) -> None:
    verdict = same(parse_words(gold), parse_words(answer))
    assert verdict.outcome == "different"
    assert verdict.why


@pytest.mark.parametrize(("gold", "answer"), UNDECIDED)
def test_what_can_neither_be_separated_nor_shown_equal_is_undecided(gold: str, answer: str) -> None:
    assert judge(gold, answer) == "undecided"


@pytest.mark.parametrize(("gold", "answer"), EQUAL + DIFFERENT + UNDECIDED)
def test_the_two_sides_may_be_swapped(gold: str, answer: str) -> None:
    assert judge(answer, gold) == judge(gold, answer)


@pytest.mark.parametrize("text", sorted({side for pair in EQUAL + DIFFERENT + UNDECIDED for side in pair}))
def test_everything_equals_itself(text: str) -> None:
    assert judge(text, text) == "equal"


@pytest.mark.parametrize(
    "policy",
    [
        Policy(percent="value", units="required"),
        Policy(order="strict", shape="loose"),
        Policy(order="free", text=False),
    ],
)
def test_the_two_sides_may_be_swapped_under_other_policies(policy: Policy) -> None:
    for gold, answer in EQUAL + DIFFERENT:
        assert judge(gold, answer, policy) == judge(answer, gold, policy), (gold, answer)


@pytest.mark.parametrize(
    ("policy", "gold", "answer", "outcome"),
    [
        (Policy(percent="value"), r"28\%", "28", "different"),
        (Policy(percent="value"), r"28\%", "0.28", "equal"),
        (Policy(percent="sign"), r"28\%", "0.28", "different"),
        (Policy(percent="sign"), r"28\%", "28", "equal"),
        (Policy(units="required"), r"5\text{ cm}", "5", "different"),
        (Policy(units="required"), r"5\text{ cm}", r"0.05\text{ m}", "equal"),
        (Policy(units="required"), r"45^\circ", r"\pi/4", "equal"),
        (Policy(units="ignored"), r"5\text{ cm}", r"5\text{ kg}", "equal"),
        (Policy(order="strict"), "1,2", "2,1", "different"),
        (Policy(order="free"), "(1,2)", "(2,1)", "equal"),
        (Policy(shape="loose"), "(1,2)", r"\{2,1\}", "equal"),
        (Policy(bases="value"), "204_5", "54", "equal"),
        (Policy(bases="value"), "204_5", "204", "different"),
        (Policy(bases="optional"), "204_5", "204", "equal"),
        (Policy(bases="value"), "11_2", "10_3", "equal"),
        (Policy(text=False), r"\text{yes}", r"\text{yes}", "different"),
        (Policy(text=False), r"\text{none}", r"\emptyset", "equal"),
    ],
)
def test_the_policy_decides(policy: Policy, gold: str, answer: str, outcome: str) -> None:
    assert judge(gold, answer, policy) == outcome


@pytest.mark.parametrize(
    ("gold", "answer", "why"),
    [
        ("1,2,3", "1,2", "the reference has 3 entries and the answer 2"),
        ("(4,5)", "(4,6)", "entry 2: 6 is not 5"),
        (r"15\text{ cm}^2", r"15\text{ cm}^3", "cm^3 is not cm^2"),
        ("7", "7,8", "a list of 2 is not one value"),
        ("7", "8=7", "the answer says 8 = 7, which is false"),
        ("7", r"7\approx 8", "the answer says 7 ≈ 8, which is false"),
        (r"\{1,100\}", r"\{100\%\}", "the reference has 2 different entries and the answer 1"),
        ("1; 100", r"100\%; 100\%", "100% is not both 1 and 100"),
        (r"\{1\}", r"\{\{1\}\}", "a set and its element differ"),
        ("x=5", "y=5", "y is not x"),
        (r"\text{yes}", r"\text{no}", '"no" is not "yes"'),
        (r"\text{yes}", "5", "one value is not an answer in words"),
        ("[0,1)", "[0,2)", "the high end 2 is not 1"),
        ("[0,1)", "(0,1)", "0 belongs to only one of them"),
        ("[0,1]", "(0,1)", "(0, 1) and [0, 1] differ in whether the ends belong to them"),
        ("1; 2", "1; 3", "3 is not 2"),
        (r"\{1,2,3\}", r"\{1,2\}", "3 is only in the reference"),
        (r"x\equiv 3\pmod 7", r"x\equiv 4\pmod 7", "4 is not 3 modulo 7"),
        ("x+y=1", "x+y=2", "x + y = 2 is not x + y = 1"),
        (
            r"\begin{pmatrix}1&2\\3&4\end{pmatrix}",
            r"\begin{pmatrix}1&2\\3&5\end{pmatrix}",
            "row 2, entry 2: 5 is not 4",
        ),
        (
            r"\begin{pmatrix}1&2\end{pmatrix}",
            r"\begin{pmatrix}1\\2\end{pmatrix}",
            "a 2 by 1 matrix is not a 1 by 2 matrix",
        ),
    ],
)
def test_the_reason_is_a_clause_that_names_the_difference(gold: str, answer: str, why: str) -> None:
    assert same(parse_words(gold), parse_words(answer)).why == why


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("2^{10}", "2^10"),
        ("9+1", "9 + 1"),
        (r"3\cdot 4", "3*4"),
        ("6/3", "6/3"),
        (r"\sqrt4", "sqrt(4)"),
        ("5!", "factorial(5)"),
        ("x^{2+1}", "2 + 1"),
        ("x=2+3", "2 + 3"),
        ("2+3=5", None),
        ("6/8", None),
        (r"\sqrt8", None),
        (r"2\sqrt3", None),
        (r"3\times 10^8", None),
        (r"5\frac14", None),
        ("2x+1", None),
        (r"\ln 8", None),
        ("x^2", None),
        ("-5", None),
    ],
)
def test_arithmetic_on_plain_numbers_may_be_left_to_do(text: str, left: str | None) -> None:
    assert unevaluated(parse(text)) == left


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x^2+1/2", "x^2 + 1/2"),
        ("(1,-2]", "(1, -2]"),
        ("0.50", "0.50"),
        ("-0.5", "-0.5"),
        (r"\{1,2\}", "{1, 2}"),
        (r"-\infty", "-infinity"),
        ("(a-b)c", "(a - b) c"),
        (r"x\le 5", "x ≤ 5"),
        (r"28\%", "28%"),
        (r"5\text{ cm}", "5 cm"),
        (r"\sin x", "sin(x)"),
        (r"1\pm 2", "1 ± 2"),
        (r"\emptyset", "the empty set"),
        ("204_5", "204_5"),
    ],
)
def test_a_tree_is_written_in_plain_characters(text: str, expected: str) -> None:
    assert written(parse(text)) == expected


def test_what_is_written_is_short_however_large_the_tree() -> None:
    wide = Node("list", tuple(map(number, range(5000))), ",")
    deep = symbol("x")
    for _ in range(190):
        deep = Node("neg", (deep,))
    for tree in (wide, deep, number(10**5000), number(Fraction(1, 3**4000))):
        assert 0 < len(written(tree)) <= LIMIT


def test_long_lists_are_compared_in_any_order() -> None:
    numbers = [number(n) for n in range(2000)]
    gold, answer = Node("list", tuple(numbers), ","), Node("list", tuple(reversed(numbers)), ",")
    assert same(gold, answer).equal
    assert same(gold, Node("list", (*numbers[:-1], number(-1)), ",")).outcome == "different"


def test_more_roots_than_are_matched_in_pairs_are_undecided() -> None:
    def roots(scale: int) -> Node:
        found = [Node("root", (number(n * scale * scale), number(2))) for n in range(2, 300)]
        return Node("list", tuple([Node("div", (root, number(scale))) for root in found]), ",")

    assert same(roots(1), roots(2)).outcome == "undecided"


def test_shapes_nested_deeply_are_compared_without_a_crash() -> None:
    def nested(core: Node) -> Node:
        for _ in range(190):
            core = Node("tuple", (core, number(0)))
        return core

    assert same(nested(number(1)), nested(number(2))).outcome in ("different", "undecided")
    assert same(nested(number(1)), nested(number(1))).equal


numerals = st.integers(-9, 9).map(lambda n: str(n))
entries = st.sampled_from(["x", r"\sqrt2", "1/2", "0.5", r"\pi", "-1", "7", r"2\%", r"\pm 3", r"\text{yes}"]) | numerals


@settings(max_examples=150, deadline=None)
@given(st.lists(entries, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_a_bare_list_and_a_set_may_be_in_any_order(items: list[str], random: object) -> None:
    shuffled = sorted(items, key=lambda item: (len(item), item))
    for opening, closing in (("", ""), (r"\{", r"\}")):
        gold, answer = (opening + " , ".join(side) + closing for side in (items, shuffled))
        assert judge(gold, answer) == "equal"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(entries, min_size=1, max_size=4),
    st.lists(entries, min_size=1, max_size=4),
    st.sampled_from([("", ""), ("(", ")"), ("[", "]"), (r"\{", r"\}"), ("x=", ""), (r"x\in[", r"]"), ("(", r"]")]),
    st.sampled_from([("", ""), ("(", ")"), ("[", "]"), (r"\{", r"\}"), ("x=", ""), (r"x>", "")]),
)
def test_any_two_shapes_may_be_swapped(
    first: list[str], second: list[str], one: tuple[str, str], other: tuple[str, str]
) -> None:
    gold, answer = one[0] + " , ".join(first) + one[1], other[0] + " , ".join(second) + other[1]
    try:
        trees = parse_words(gold), parse_words(answer)
    except ValueError:
        return
    assert same(*trees).outcome == same(*trees[::-1]).outcome
