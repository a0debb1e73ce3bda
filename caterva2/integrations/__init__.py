"""Remote data in the terms of other libraries; each module loads one, and only when it is used."""
