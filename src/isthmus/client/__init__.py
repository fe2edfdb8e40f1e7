"""A typed client of the API of a site, for programs: `Client`, and `AsyncClient` for asyncio."""
