"""Conformance of attribution code: does it compute what it says, and do the scores add up?"""

from pkverify.testing.conform.adapter import Adapter as Adapter
from pkverify.testing.conform.adapter import NotApplicable as NotApplicable
from pkverify.testing.conform.check import check as check
from pkverify.testing.conform.reference import QUANTITIES as QUANTITIES
from pkverify.testing.conform.report import ConformanceReport as ConformanceReport
from pkverify.testing.conform.task import Task as Task
