"""Names that say what a column holds only where they are all of it, in the languages of others.

A part of a longer name says nothing here: ``montant`` is the amount, ``montant ht`` is without tax.
Written as ``words.bare`` leaves them: without accents, blanks and capitals.
"""

from typing import Final

from providers.profile_tables import Role

ALONE: Final[dict[Role, str]] = {
    "account_no": "consumernumber consumerid usernumber clientnumber clientno clientid"
    " subscribernumber subscriberno subscriberid contractnumber contractid contractaccount"
    " connectionno connectionnumber serviceaccount serviceaccountnumber serviceno customercode"
    " consumercode utilityaccount msisdn vertragskonto vertragskontonummer vertragsnummer"
    " numeroclient nclient noclient numclient referenceclient numerocompte numerocontrat codeclient"
    " numerocliente numerodecliente numcliente codigocliente numerocuenta numerodecuenta"
    " numerocontrato contrato numerodocliente codigodocliente unidadeconsumidora codicecliente"
    " klantnummer klantnr relatienummer debiteurnummer numerklienta nrklienta numerumowy"
    " お客様番号 お客さま番号 顧客番号 顧客コード 契約番号 契約者番号 水栓番号 고객번호"
    " 수용가번호 лицевойсчет лицевойсчёт",
    "holder_name": "name clientname consumername subscribername tenantname ownername"
    " residentname fullname payername billtoname addressee recipient client kundenname"
    " rechnungsempfaenger nomclient nomduclient nombrecliente nombredelcliente cliente nombre"
    " titular nomedocliente nomecliente nome klantnaam naam nazwaklienta kontrahent nabywca"
    " klient 顧客名 お客様名 氏名 契約者名 請求先 고객명 фио абонент",
    "address": "premiseaddress siteaddress direccion domicilio endereco indirizzo adres"
    " lieferadresse verbrauchsstelle 住所 使用場所 주소 адрес",
    "billing_year": "billyear billingyear usageyear chargeyear 账单年 账单年份 费用年份",
    "billing_month": "monthbilled usagemonth servicemonth chargemonth consumptionmonth mois mes"
    " mesreferencia mesdereferencia mese maand miesiac 請求年月 請求月 使用月 利用年月 対象月"
    " 청구월 청구년월 месяц",
    "bill_no": "invoice invoicenum invoiceref invoicereference billref billreference belegnr"
    " belegnummer numerofacture nfacture numerodefacture nofacture numfacture facture numerofactura"
    " numerodefactura nofactura numfactura factura numerofatura numerodafatura fatura"
    " numerofattura factuurnummer factuurnr factuur nrfaktury numerfaktury 請求書番号 請求番号"
    " 伝票番号 고지번호",
    "period_from": "billingperiodstart billperiodstart billingperiodfrom billperiodfrom"
    " servicestart previousreadingdate previousreaddate priorreaddate zeitraumvon datedebut"
    " debutperiode fechadesde fechainicio desde datainicio datainizio okresod od 使用开始日"
    " 利用开始日",
    "period_to": "billingperiodend billperiodend billingperiodto billperiodto serviceend"
    " currentreadingdate presentreadingdate currentreaddate zeitraumbis datefin finperiode"
    " fechahasta fechafin hasta datafim datafine okresdo do 终了日 使用终了日 利用终了日",
    "issued": "date datum 日期 ausstellungsdatum belegdatum dateemission datedemission"
    " datefacture datedefacture fechaemision fechadeemision fechafactura fechadefactura"
    " dataemissao datadeemissao emissao datadafatura datafattura factuurdatum datawystawienia"
    " 請求日 発行日 請求年月日 発行年月日 청구일 발행일",
    "due": "faelligkeit faelligkeitsdatum zahlbarbis zahlungsziel dateecheance datedecheance"
    " echeance datelimitedepaiement fechavencimiento fechadevencimiento vencimiento"
    " fechalimitedepago vencimento datavencimento datadevencimento scadenza datascadenza"
    " vervaldatum vervaldag vervalt terminplatnosci 支払期限 支払期日 お支払期限 納付期限 納期限"
    " 납기일 납부기한",
    "amount": "totalsum totalcharge totalcharges totalbill totalbilled totalcost totalprice"
    " totalpayable grandtotal balancedue rechnungsbetrag bruttobetrag endbetrag zahlbetrag montant"
    " montantttc"
    " totalttc montanttotal netapayer importe importetotal importefactura monto montototal"
    " totalapagar totalfactura valor valortotal valordafatura valorfatura valorapagar importo"
    " importototale totalefattura bedrag totaalbedrag factuurbedrag kwota kwotabrutto dozaplaty"
    " wartoscbrutto 請求金额 請求额 ご請求额 御請求额 청구금액 сумма коплате суммакоплате",
    "quantity": "billedkwh totalkwh kwhused usedkwh kwhusage usagekwh consumptionkwh units"
    " unitsconsumed unitconsumed billedunits consommation consumo consumokwh verbruik zuzycie"
    " 使用量 ご使用量 利用量 사용량 потребление",
}  # fmt: skip
# Parts of longer names that say nothing by themselves: whose number, which action, whose name?
NEVER_WITHIN: Final = (
    "number", "nummer", "action", "name", "sign", "used", "year", "month", "until",
)  # fmt: skip
# What a name ends with that is a number, a kind or a moment of the thing, and no measure of it.
OF_NO_MEASURE: Final = ("id", "code", "type", "kind", "category", "time", "编号", "编码", "类型")
COUNTERS: Final = ("no", "nr", "nummer", "number")  # or of a bill: its cells tell
# The head of a compound stands at its end: a customer account, but not an account type.
ONLY_AT_END: Final = (
    "account", "acct", "konto", "customer", "kunde", "item", "total", "sum", "start", "begin",
)  # fmt: skip
VAGUE_DAYS: Final = ("date", "datum", "日期")
_CUSTOMERS: Final = (
    "customer", "user", "client", "consumer", "holder", "owner", "account", "party", "payer",
    "person", "tenant", "resident", "member", "subscriber", "debtor", "buyer", "contact", "kunde",
    "bill", "invoice", "户", "客",
)  # fmt: skip


def is_of_customer(name: str) -> bool:
    """Tell whether what is called so in a document is a customer, so that its name is theirs."""
    return any(word in name.casefold() for word in _CUSTOMERS)
