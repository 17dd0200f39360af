"""Every word of the check-up, in English and Spanish, and numbers as both write them. One table, so that no text lacks a language.

A text may hold places, `{name}`, which a sentence's parts fill in. Plurals are avoided by wording.
"""

from __future__ import annotations

from datetime import date
from enum import StrEnum

from volvere.checkup.limits import CHURN_AFTER_DAYS, ENOUGH, ENOUGH_PAIRS
from volvere.checkup.model import Amount, Figure, Interval, Said, Unit


class Language(StrEnum):
    """A language that the check-up speaks."""

    en = "en"
    es = "es"


Text = tuple[str, str]
"""In English, in Spanish."""

TEXTS: dict[str, Text] = {
    # The page
    "title": ("Check-up", "Revisión"),
    "period": ("{since} to {until}", "{since} a {until}"),
    "days_of": ("days of {zone}", "días de {zone}"),
    "touchpoints": ("{n} touchpoints", "{n} puntos de contacto"),
    "known_until": ("known until {at}", "se conoce hasta {at}"),
    "overview": ("At a glance", "De un vistazo"),
    "gauges": ("Eight gauges", "Ocho indicadores"),
    "before": ("before", "antes"),
    "period_before": ("Period before", "Período anterior"),
    "value": ("Value", "Valor"),
    "figure": ("Measure", "Medida"),
    "of": ("of", "de"),
    "cases": ("Cases", "Casos"),
    "verdict": ("Verdict", "Veredicto"),
    "limits": ("good {good}, bad {bad}", "bien {good}, mal {bad}"),
    "from_on": ("from {limit} on", "desde {limit}"),
    "up_to": ("up to {limit}", "hasta {limit}"),
    "under": ("under {limit}", "menos de {limit}"),
    "over": ("over {limit}", "más de {limit}"),
    "trend": ("By week", "Por semana"),
    "week": ("Week of", "Semana del"),
    "part_week": ("part of a week", "semana incompleta"),
    "worst": ("Where it is worst", "Dónde está peor"),
    "spread": ("How it is spread", "Cómo se reparte"),
    "behind": ("The frictions behind", "Las fricciones detrás"),
    "now": ("now", "ahora"),
    "kind": ("Kind", "Tipo"),
    "frictions": ("Frictions", "Fricciones"),
    "customers": ("Customers", "Clientes"),
    "look_at": ("To look at", "Para mirar"),
    "data_of_chart": ("The chart's data", "Los datos del gráfico"),
    "all_measures": ("All measures", "Todas las medidas"),
    "interval": ("95% interval {low} to {high}", "intervalo del 95 %: de {low} a {high}"),
    "open_end": ("without end", "sin límite"),
    "met_friction": ("Met friction", "Con fricción"),
    "met_none": ("Met none", "Sin fricción"),
    "back_chart": ("Share of customers who came back", "Proporción de clientes que volvieron"),
    "trend_chart": ("{figure} by week, last {value}", "{figure} por semana, último valor {value}"),
    "spots_chart": ("{figure} by {by}: {spots}", "{figure} por {by}: {spots}"),
    "pairs_chart": (
        "Each dot is a week of a team: how content employees were (across) and customers (up), 0 to 100",
        "Cada punto es una semana de un equipo: satisfacción de empleados (horizontal) y de clientes (vertical), de 0 a 100",
    ),
    "employees": ("Employees", "Empleados"),
    "queue": ("Queue", "Cola"),
    "explain": ("To read one: volvere explain ID", "Para leer una: volvere explain ID"),
    "skip": ("Skip to the gauges", "Ir a los indicadores"),
    "about": (
        "Verdicts come from limits that know no trade: read them as a reason to look, and the trend as the judge. Under {enough} cases nothing is judged. Definitions and sources: README, Check-up.",
        "Los veredictos salen de límites que no conocen el sector: léalos como un motivo para mirar, y la tendencia como juez. Con menos de {enough} casos no se juzga nada. Definiciones y fuentes: README, Check-up.",
    ),
    "made_with": ("Made by volvere checkup.", "Hecho con volvere checkup."),
    # Verdicts
    "verdict.good": ("good", "bien"),
    "verdict.watch": ("watch", "atención"),
    "verdict.bad": ("bad", "mal"),
    "verdict.unjudged": ("not judged", "sin juicio"),
    "verdict.no_data": ("no data", "sin datos"),
    # The sentence at the top
    "top": (
        "Of {customers} customers who met friction, {came_back} came back ({rate}).",
        "De {customers} clientes que encontraron fricción, volvieron {came_back} ({rate}).",
    ),
    "top.beside": (
        "Of {customers} customers who met friction, {came_back} came back ({rate}); of {others} who met none, {others_rate}.",
        "De {customers} clientes que encontraron fricción, volvieron {came_back} ({rate}); de {others} que no la encontraron, {others_rate}.",
    ),
    "top.none": (
        "Nobody can say yet who came back: that takes 90 days after a friction.",
        "Todavía no se puede decir quién volvió: hacen falta 90 días después de una fricción.",
    ),
    "top.of": ("Customers of {period}, with the 90 days after.", "Clientes de {period}, y los 90 días siguientes."),
    # Gauges, what they ask
    "reliability": ("Reliability", "Fiabilidad"),
    "reliability.asks": ("Does it work the first time, as promised?", "¿Funciona a la primera, como se prometió?"),
    "reliability.fcr_7d": (
        "Of {of} answered contacts, {fcr} were settled at once: nobody came back about it within 7 days. Promises broken: {broken}, calls dropped: {dropped}.",
        "De {of} contactos atendidos, el {fcr} quedó resuelto a la primera: nadie volvió por lo mismo en 7 días. Promesas rotas: {broken}, llamadas cortadas: {dropped}.",
    ),
    "reliability.fcr_24h": (
        "Of {of} answered contacts, {fcr} were settled at once: nobody came back about it within 24 hours. Promises broken: {broken}, calls dropped: {dropped}.",
        "De {of} contactos atendidos, el {fcr} quedó resuelto a la primera: nadie volvió por lo mismo en 24 horas. Promesas rotas: {broken}, llamadas cortadas: {dropped}.",
    ),
    "reliability.unknown": (
        "Whether contacts settle anything cannot be told yet. Promises broken: {broken}, calls dropped: {dropped}.",
        "Todavía no se sabe si los contactos resuelven algo. Promesas rotas: {broken}, llamadas cortadas: {dropped}.",
    ),
    "reliability.no_data": (
        "No data: it would need contacts (contact.started, contact.answered) with customer_id and topic, or promise.made with due_at.",
        "Sin datos: harían falta contactos (contact.started, contact.answered) con customer_id y topic, o promise.made con due_at.",
    ),
    "process": (
        "Of {decided} requests {denied} were denied, {transferred} of answered contacts were passed on, {reopened} cases came back ({resolved} were resolved), and the same was asked again {again} times too often.",
        "De {decided} solicitudes se denegaron {denied}, el {transferred} de los contactos atendidos se transfirió, volvieron {reopened} casos (se resolvieron {resolved}) y lo mismo se preguntó de más {again} veces.",
    ),
    "process.name": ("Process", "Proceso"),
    "process.asks": (
        "Does the process serve people, or people the process?",
        "¿Sirve el proceso a las personas, o las personas al proceso?",
    ),
    "process.no_data": (
        "No data: it would need request.granted and request.denied, contact.transferred, case.resolved.",
        "Sin datos: harían falta request.granted y request.denied, contact.transferred, case.resolved.",
    ),
    "what_matters": (
        "Of {short} answered contacts under 10 s, {short_followed} were followed by another within 1 h ({short_rate}); of the {others} others, {other_followed} ({other_rate}).",
        "De {short} contactos atendidos de menos de 10 s, a {short_followed} les siguió otro en 1 h ({short_rate}); de los otros {others}, a {other_followed} ({other_rate}).",
    ),
    "what_matters.name": ("What matters", "Lo que importa"),
    "what_matters.asks": ("Are the right things counted?", "¿Se cuenta lo que importa?"),
    "what_matters.no_short": (
        "Of {timed} answered contacts, {short} were shorter than 10 s: there is nothing to compare.",
        "De {timed} contactos atendidos, {short} duraron menos de 10 s: no hay nada que comparar.",
    ),
    "what_matters.untimed": (
        "{active} customers were active when the period began; how long contacts took is not known.",
        "Al empezar el período había {active} clientes activos; no se sabe cuánto duraron los contactos.",
    ),
    "what_matters.no_data": (
        "No data: it would need contact.answered with handle_ms and customer_id, orders and purchases, agent.hired and agent.left.",
        "Sin datos: harían falta contact.answered con handle_ms y customer_id, pedidos y compras, agent.hired y agent.left.",
    ),
    "abandonment": (
        "{abandoned} of those who queued gave up, {in_time} were answered within 20 s; {slow} of {conversations} conversations waited too long for a reply, and {refused} contacts met a closed door.",
        "El {abandoned} de quienes esperaron en cola abandonó y al {in_time} se le atendió en 20 s; {slow} de {conversations} conversaciones esperaron demasiado una respuesta, y {refused} contactos encontraron la puerta cerrada.",
    ),
    "abandonment.name": ("Abandonment", "Abandono"),
    "abandonment.asks": ("Does the company abandon its customers?", "¿Abandona la empresa a sus clientes?"),
    "abandonment.no_queue": (
        "{slow} of {conversations} conversations waited too long for a reply, {unanswered} messages got none, and {refused} contacts met a closed door.",
        "{slow} de {conversations} conversaciones esperaron demasiado una respuesta, {unanswered} mensajes no la tuvieron, y {refused} contactos encontraron la puerta cerrada.",
    ),
    "abandonment.no_data": (
        "No data: it would need contact.queued and contact.abandoned, message.received and message.sent, or contact.refused.",
        "Sin datos: harían falta contact.queued y contact.abandoned, message.received y message.sent, o contact.refused.",
    ),
    "maintenance": (
        "Agents trained in the last {days} days meet {lately} frictions per 100 contacts, the others {others}.",
        "Los agentes formados en los últimos {days} días tienen {lately} fricciones por cada 100 contactos; los demás, {others}.",
    ),
    "maintenance.name": ("Maintenance", "Mantenimiento"),
    "maintenance.asks": ("Are the people kept in tune?", "¿Se mantiene a punto a las personas?"),
    "maintenance.one_sided": (
        "{share} of contacts were with agents trained in the last 90 days: there is nobody to compare them with.",
        "El {share} de los contactos fue con agentes formados en los últimos 90 días: no hay con quién compararlos.",
    ),
    "maintenance.no_data": (
        "No data: it would need agent.trained in the operations, and agent_id on contacts.",
        "Sin datos: harían falta agent.trained en las operaciones, y agent_id en los contactos.",
    ),
    "alignment.name": ("Alignment", "Alineación"),
    "alignment.asks": (
        "Do employee and customer experience point the same way?",
        "¿Apuntan al mismo lado la experiencia de empleados y la de clientes?",
    ),
    "employee_customer.same": (
        "Where employees are content, customers are, too (r = {r} over {weeks} weeks of teams).",
        "Donde los empleados están contentos, los clientes también (r = {r} en {weeks} semanas de equipos).",
    ),
    "employee_customer.against": (
        "Where employees are content, customers are not (r = {r} over {weeks} weeks of teams).",
        "Donde los empleados están contentos, los clientes no (r = {r} en {weeks} semanas de equipos).",
    ),
    "employee_customer.open": (
        "Whether customers are content where employees are cannot be told (r = {r} over {weeks} weeks of teams).",
        "No se puede decir si los clientes están contentos donde lo están los empleados (r = {r} en {weeks} semanas de equipos).",
    ),
    "employee_friction.same": (
        "Where employees are content, customers meet less friction (r = {r} over {weeks} weeks of teams).",
        "Donde los empleados están contentos, los clientes encuentran menos fricción (r = {r} en {weeks} semanas de equipos).",
    ),
    "employee_friction.against": (
        "Where employees are content, customers meet more friction (r = {r} over {weeks} weeks of teams).",
        "Donde los empleados están contentos, los clientes encuentran más fricción (r = {r} en {weeks} semanas de equipos).",
    ),
    "employee_friction.open": (
        "Whether customers meet less friction where employees are content cannot be told (r = {r} over {weeks} weeks of teams).",
        "No se puede decir si los clientes encuentran menos fricción donde los empleados están contentos (r = {r} en {weeks} semanas de equipos).",
    ),
    "alignment.few": (
        f"Too few to tell: fewer than {ENOUGH_PAIRS} weeks of teams with scores of both employees and customers.",
        f"Demasiado poco para decirlo: menos de {ENOUGH_PAIRS} semanas de equipos con notas de empleados y de clientes.",
    ),
    "alignment.no_data": (
        "No data: it would need agent.surveyed in the operations (score, scale, agent_id or queue), and survey.answered with a queue.",
        "Sin datos: harían falta agent.surveyed en las operaciones (score, scale, agent_id o queue), y survey.answered con queue.",
    ),
    "feedback.name": ("Feedback", "Opinión"),
    "feedback.asks": ("Is every complaint a chance to repair?", "¿Es cada queja una ocasión de reparar?"),
    "feedback.nps": (
        "NPS is {score}; {answered} of {sent} surveys were answered, and {followed_up} of {low} low scores were followed up within 48 h.",
        "El NPS es {score}; se respondieron {answered} de {sent} encuestas, y se atendieron {followed_up} de {low} notas bajas en 48 h.",
    ),
    "feedback.csat": (
        "{score} are satisfied; {answered} of {sent} surveys were answered, and {followed_up} of {low} low scores were followed up within 48 h.",
        "El {score} está satisfecho; se respondieron {answered} de {sent} encuestas, y se atendieron {followed_up} de {low} notas bajas en 48 h.",
    ),
    "feedback.ces": (
        "Effort is graded {score} of 7; {answered} of {sent} surveys were answered, and {followed_up} of {low} low scores were followed up within 48 h.",
        "El esfuerzo recibe un {score} de 7; se respondieron {answered} de {sent} encuestas, y se atendieron {followed_up} de {low} notas bajas en 48 h.",
    ),
    "feedback.no_scores": (
        "{answered} of {sent} surveys were answered, without a score on a scale that is known; complaints: {complaints}.",
        "Se respondieron {answered} de {sent} encuestas, sin nota en una escala conocida; quejas: {complaints}.",
    ),
    "feedback.no_data": (
        "No data: it would need survey.sent, survey.answered (score, scale), complaint.filed, feedback.followed_up.",
        "Sin datos: harían falta survey.sent, survey.answered (score, scale), complaint.filed, feedback.followed_up.",
    ),
    "upgrade.name": ("Upgrade", "Actualización"),
    "upgrade.asks": ("Did the new version make it better?", "¿La nueva versión lo hizo mejor?"),
    "upgrade.better": (
        "Release {release} made it better: {after} frictions per 1,000 contacts in the 14 days after, {before} before.",
        "La versión {release} lo mejoró: {after} fricciones por cada 1000 contactos en los 14 días siguientes, {before} antes.",
    ),
    "upgrade.worse": (
        "Release {release} made it worse: {after} frictions per 1,000 contacts in the 14 days after, {before} before.",
        "La versión {release} lo empeoró: {after} fricciones por cada 1000 contactos en los 14 días siguientes, {before} antes.",
    ),
    "upgrade.open": (
        "Release {release} changed nothing that chance does not explain: {after} frictions per 1,000 contacts in the 14 days after, {before} before.",
        "La versión {release} no cambió nada que el azar no explique: {after} fricciones por cada 1000 contactos en los 14 días siguientes, {before} antes.",
    ),
    "upgrade.early": (
        "It is too early to judge release {release}: {after} frictions per 1,000 contacts so far, {before} in the 14 days before.",
        "Es pronto para juzgar la versión {release}: {after} fricciones por cada 1000 contactos hasta ahora, {before} en los 14 días anteriores.",
    ),
    "upgrade.nothing": (
        "Around release {release} there were no frictions or no contacts to compare.",
        "Alrededor de la versión {release} no hubo fricciones o contactos que comparar.",
    ),
    "upgrade.no_data": (
        "No data: it would need release.deployed in the operations, with its release, within the period.",
        "Sin datos: harían falta release.deployed en las operaciones, con su release, dentro del período.",
    ),
    # Figures
    "fcr_24h": ("Settled at once, 24 h", "Resuelto a la primera, 24 h"),
    "fcr_7d": ("Settled at once, 7 days", "Resuelto a la primera, 7 días"),
    "fcr_30d": ("Settled at once, 30 days", "Resuelto a la primera, 30 días"),
    "broken_share": ("Promises broken", "Promesas rotas"),
    "dropped_per_100": ("Calls dropped per 100 answered", "Llamadas cortadas por 100 atendidas"),
    "lemons": ("Lemons: what breaks again and again", "Lo que se rompe una y otra vez"),
    "days_out_of_service": ("Days out of service", "Días fuera de servicio"),
    "denial_rate": ("Requests denied", "Solicitudes denegadas"),
    "transfer_rate": ("Contacts passed on", "Contactos transferidos"),
    "loops_per_100": ("Passed in circles, per 100 contacts", "Vueltas en círculo por 100 contactos"),
    "asked_again_per_100": ("Asked the same again, per 100 contacts", "Repreguntas por 100 contactos"),
    "reopened_share": ("Cases that came back", "Casos que volvieron"),
    "hops_per_100": ("Channel after channel, per 100 contacts", "Canal tras canal por 100 contactos"),
    "short_share": ("Contacts under 10 s", "Contactos de menos de 10 s"),
    "short_followed": ("Contacts under 10 s that came back", "Contactos de menos de 10 s que volvieron"),
    "short_return_rate": ("Came back in 1 h, after a contact under 10 s", "Volvieron en 1 h, tras menos de 10 s"),
    "other_return_rate": ("Came back in 1 h, after another", "Volvieron en 1 h, tras otro contacto"),
    "times_as_often": ("Short contacts come back, times as often", "Los cortos vuelven, veces más"),
    "handle_mean_s": ("Mean handle time", "Tiempo medio de gestión"),
    "referrals": ("Referrals", "Recomendaciones"),
    "contractual_churn": ("Customers who cancelled", "Clientes que se dieron de baja"),
    "silent_churn": (f"Customers silent for {CHURN_AFTER_DAYS} days", f"Clientes {CHURN_AFTER_DAYS} días en silencio"),
    "lifetime_value": ("Customer lifetime value", "Valor de vida del cliente"),
    "attrition_a_year": ("Agents who left, a year", "Agentes que se fueron, al año"),
    "abandonment_rate": ("Gave up in the queue", "Abandonaron en la cola"),
    "service_level": ("Answered within 20 s", "Atendidos en 20 s"),
    "slow_share": ("Conversations with a slow reply", "Conversaciones con respuesta lenta"),
    "unanswered": ("Messages without a reply", "Mensajes sin respuesta"),
    "refused_per_100": ("Closed doors per 100 contacts", "Puertas cerradas por 100 contactos"),
    "closings": ("Channels closed", "Canales cerrados"),
    "trained_share": ("Contacts with agents trained in 90 days", "Contactos con agentes formados en 90 días"),
    "frictions_per_100": ("Frictions per 100 contacts", "Fricciones por 100 contactos"),
    "untrained_ratio": ("Friction without recent training, times as much", "Fricción sin formación reciente, veces más"),
    "employee_customer": ("Employee scores with customer scores, r", "Notas de empleados y de clientes, r"),
    "employee_friction": ("Employee scores with friction, r", "Notas de empleados y fricción, r"),
    "gap": ("Employees more content than customers, points", "Empleados más contentos que clientes, puntos"),
    "response_rate": ("Surveys answered", "Encuestas respondidas"),
    "nps": ("NPS", "NPS"),
    "csat": ("Satisfied (CSAT)", "Satisfechos (CSAT)"),
    "ces": ("Ease (CES, of 7)", "Facilidad (CES, de 7)"),
    "followed_up_share": ("Low scores followed up in 48 h", "Notas bajas atendidas en 48 h"),
    "recovery_rate": ("Customers won back", "Clientes recuperados"),
    "complaints": ("Complaints", "Quejas"),
    "rate_ratio": ("Friction, after ÷ before", "Fricción, después ÷ antes"),
    "frictions_per_1000": ("Frictions per 1,000 contacts", "Fricciones por 1000 contactos"),
    # What spots are counted by
    "by.queue": ("queue", "cola"),
    "by.topic": ("topic", "tema"),
    "by.channel": ("channel", "canal"),
    "by.agent": ("agent", "agente"),
    "by.asset": ("thing", "objeto"),
    "by.training": ("days since training", "días desde la formación"),
    "by.release": ("release", "versión"),
    "training.0-30": ("up to 30 days", "hasta 30 días"),
    "training.31-90": ("31 to 90 days", "de 31 a 90 días"),
    "training.91-180": ("91 to 180 days", "de 91 a 180 días"),
    "training.181+": ("over 180 days", "más de 180 días"),
    "training.never": ("never told", "nunca consta"),
    # Kinds of friction
    "kind.repeat_contact": ("Contacted again about the same", "Otro contacto por lo mismo"),
    "kind.dropped_call": ("Dropped call", "Llamada cortada"),
    "kind.agent_disconnect": ("The agent hung up", "El agente colgó"),
    "kind.queue_abandoned": ("Gave up in the queue", "Abandonó en la cola"),
    "kind.long_wait": ("Long wait", "Espera larga"),
    "kind.transfer_loop": ("Passed in circles", "De mano en mano"),
    "kind.channel_hop": ("Channel after channel", "Canal tras canal"),
    "kind.slow_reply": ("Slow reply", "Respuesta lenta"),
    "kind.broken_promise": ("Broken promise", "Promesa rota"),
    "kind.reopened_case": ("Case that came back", "Caso que volvió"),
    "kind.closed_door": ("Closed door", "Puerta cerrada"),
    "kind.rigid_process": ("Rigid process", "Proceso rígido"),
    "kind.rage_click": ("Clicks in anger", "Clics de rabia"),
    "kind.form_struggle": ("Struggle with a form", "Lucha con un formulario"),
    "kind.checkout_abandoned": ("Abandoned checkout", "Compra abandonada"),
    "kind.lemon": ("Lemon: repaired again and again", "Reparado una y otra vez"),
    "kind.low_score": ("Low score", "Nota baja"),
    "kind.unrecovered": ("Nobody followed up", "Nadie lo atendió"),
    "kind.at_risk": ("Went silent after friction", "Se calló tras la fricción"),
}  # fmt: skip
"""By key. A gauge's name is `KEY.name`, or KEY where that is no sentence."""


def text(key: str, language: Language, **parts: str) -> str:
    """A text, its places filled in."""
    found = TEXTS[key][0 if language is Language.en else 1]
    return found.format(**parts) if parts else found


def name(gauge: str, language: Language) -> str:
    """A gauge's name."""
    return text(f"{gauge}.name" if f"{gauge}.name" in TEXTS else gauge, language)


def say(said: Said, language: Language) -> str:
    """A sentence."""
    parts = {key: part if isinstance(part, str) else amount(part, language) for key, part in said.parts.items()}
    return text(said.key, language, **parts)


def amount(number: Amount, language: Language, currency: str | None = None) -> str:
    """A number as people read it, with its unit: 4.6%, 1,234, +0.62, 3 min 3 s."""
    value, unit = number.value, number.unit
    percent = "%" if language is Language.en else "\u00a0%"
    match unit:
        case Unit.share:
            return _written(100 * value, 1 if abs(value) < 0.0995 else 0, language) + percent
        case Unit.number:
            return _written(value, 0, language)
        case Unit.seconds:
            minutes, seconds = divmod(round(value), 60)
            return f"{minutes}\u00a0min {seconds}\u00a0s" if minutes else f"{seconds}\u00a0s"
        case Unit.points:
            return _signed(value, 0, language)
        case Unit.correlation:
            return _signed(value, 2, language)
        case Unit.times:
            return _written(value, 2 if abs(value) < 2 else 1, language)
        case Unit.money:
            return f"{_written(value, 0, language)}\u00a0{currency or ''}".strip()
        case Unit.days:
            return _written(value, 1 if value < 10 else 0, language) + ("\u00a0d" if value else "")
        case _:
            return _written(value, 1 if abs(value) < 100 else 0, language)


def figure(found: Figure, value: float | None, language: Language) -> str:
    """A figure's value, or the one before; a dash where there is none."""
    return "–" if value is None else amount(Amount(value, found.unit), language, found.currency)


def interval(found: Interval, unit: Unit, language: Language) -> str:
    """An interval in words."""
    high = text("open_end", language) if found.high is None else amount(Amount(found.high, unit), language)
    return text("interval", language, low=amount(Amount(found.low, unit), language), high=high)


def about(language: Language) -> str:
    """How verdicts are meant."""
    return text("about", language, enough=str(ENOUGH))


MONTHS = {
    Language.en: "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(),
    Language.es: "ene feb mar abr may jun jul ago sep oct nov dic".split(),
}


def day(at: date | str, language: Language, *, year: bool = True) -> str:
    """A day as people read it: 4 Feb 2025."""
    found = date.fromisoformat(at) if isinstance(at, str) else at
    written = f"{found.day}\u00a0{MONTHS[language][found.month - 1]}"
    return f"{written}\u00a0{found.year}" if year else written


def _written(value: float, digits: int, language: Language) -> str:
    written = f"{value:,.{digits}f}"
    if language is Language.es:
        written = written.translate(str.maketrans(",.", ".,"))
    return written.replace("-", "−")


def _signed(value: float, digits: int, language: Language) -> str:
    written = _written(value, digits, language)
    return written if value <= 0 or written.strip("0,.") == "" else f"+{written}"
